//! All rules, by the machine that they are of.

/// Declares [`Rule`], and the list of each machine's.
macro_rules! rules {
    ($($(#[doc = $of:literal])+ $machine:ident {
        $($(#[doc = $doc:literal])+ $name:ident,)*
    })*) => {
        /// Something without which a protocol is wrong.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Rule { $($($(#[doc = $doc])+ $name,)*)* }
        impl Rule {
            $($(#[doc = $of])+
            pub const $machine: &'static [Rule] = &[$(Rule::$name),*];)*
        }
    };
}

rules! {
    /// Of operations on capabilities that several OSnodes have, and of what the dead leave.
    AGREEMENT {
        /// Nothing is said to who is gone.
        SendsToLiving,
        /// A client's operation is under way once.
        AskOnce,
        /// Only so many of an OSnode's operations are open at a time.
        AskFew,
        /// A request waits for those before it at the owner.
        AskInTurn,
        /// Nothing is copied or given to oneself.
        AskForOthers,
        /// Who does not decide says so.
        AskNotOwner,
        /// Then it is looked again who does.
        AskLooksAgain,
        /// The owner tells the origin how it ended.
        AskReplies,
        /// A client is told once to try later.
        LateOnce,
        /// It is told so when its deadline has passed.
        LateAwaitsDeadline,
        /// It hears nothing after that.
        LateIsLast,

        /// A holder is recorded before a copy leaves.
        CopyRecords,
        /// Only what the origin still holds is copied.
        CopyHeld,
        /// A copy waits for a revoke or a transfer of what it overlaps.
        CopyWaits,
        /// A copy ends when the receiver said so.
        CopyAwaitsTaken,
        /// A receiver tells the owner what became of a copy.
        CopySaysTaken,
        /// What is no copy is not ended by a receiver.
        CopyTakenAwaited,
        /// A holder that did not take a copy is forgotten.
        CopyForgetsRefused,
        /// One that took it, or has another, is not.
        CopyKeepsHolder,
        /// An operation's copy is taken once.
        CopyOnce,
        /// Nothing is copied to an OSnode that is gone.
        CopyNotToDead,
        /// What moves is used for nothing else until it moved.
        MoveLocks,
        /// Moves that wait themselves are in nobody's way.
        MoveLocksAsked,
        /// What was moved is deleted where it was.
        MoveDeletes,

        /// A holder tells the owner when it holds an object no more.
        DropSays,
        /// A drop that crossed a copy on its way is not counted.
        DropCrossedCopy,
        /// A drop counts for inventories too.
        DropLeavesInventory,
        /// What any capability covers is not freed.
        FreeOnlyUncovered,
        /// What is gone as well, and not told yet, frees its bytes itself.
        FreeLeavesUntold,
        /// The right to make device frames covers nothing.
        FreeUnderRight,
        /// What goes at once is freed once.
        FreeOnce,
        /// The heir is told of what was lost before it inherited.
        DropAwaitsHeir,
        /// Nobody is told of what is gone before others have forgotten their translations.
        DropAwaitsFlush,
        /// What is held again is not told.
        DropUnlessHeld,
        /// What only this OSnode holds is booked while it is given away.
        DropBooksLeaving,
        /// What went on its own is not counted when a revoke ends.
        DropSettlesRevoke,
        /// What is gone when a family gets another owner is told to that one.
        DropToNewOwner,
        /// A drop counts if it comes from a holder.
        DropOfHolder,
        /// While a family is on its way to another owner, it is not known whom to tell of what was lost.
        DropAwaitsAdopted,

        /// Nothing is made of what it cannot be made of.
        RetypeDerives,
        /// Nor beyond the end of it.
        RetypeWithin,
        /// At least one, and not too many.
        RetypeSome,
        /// The block of an OSnode is in nobody's way inside.
        RetypeInBlock,
        /// The owner's own objects do not stand in its directory.
        RetypeKnowsOwn,
        /// Nothing is derived where something else stands.
        RetypeChecks,
        /// What others hold counts.
        RetypeChecksRemote,
        /// The bytes are reserved before the origin is told to derive.
        RetypeReserves,
        /// Only from what the origin still holds.
        RetypeHeld,
        /// A retype waits for a revoke or a transfer of what it overlaps.
        RetypeWaits,
        /// A reservation that was not used is given back.
        RetypeGivesBack,

        /// A revoke waits for a revoke or a transfer of what it overlaps.
        RevokeWaits,
        /// Only by who still holds it.
        RevokeHeld,
        /// All holders of the object and of what is derived from it take part.
        RevokeTellsAll,
        /// The owner's own capabilities are marked, too.
        RevokeMarksOwn,
        /// If the owner cannot mark, nothing is revoked.
        RevokeStopsOwn,
        /// What the owner held goes back.
        RevokeFreesOwn,
        /// What a holder deleted goes back.
        RevokeFrees,
        /// The keeper still holds it.
        RevokeKnowsKept,
        /// Nothing is deleted before every holder has marked.
        RevokeAwaitsMarked,
        /// A holder tells that it marked.
        RevokeSaysMarked,
        /// Who says so is not believed twice.
        RevokeMarkedAwaited,
        /// One refusal ends it for all.
        RevokeStops,
        /// Who marked is told that it ended.
        RevokeUnmarks,
        /// The revoke ends when every holder has deleted.
        RevokeAwaitsSwept,
        /// A holder tells that it deleted.
        RevokeSaysSwept,
        /// A holder answers when its kernel has deleted everything.
        RevokeAwaitsKernel,
        /// The owner's kernel, too.
        RevokeAwaitsOwn,
        /// The keeper's copy stays.
        RevokeKeeps,
        /// The owner forgets who deleted.
        RevokeForgets,

        /// Only the owner gives ownership away.
        TransferByOwner,
        /// Not to who is gone.
        TransferNotToDead,
        /// Nor more than one message can tell.
        TransferFits,
        /// What the owner's clients delete from here on is noticed.
        TransferBooks,
        /// What others derive from is not transferred apart from it.
        TransferRoot,
        /// What is gone, but was not told, still has its bytes.
        TransferRootUntold,
        /// Nothing is derived from the right to make device frames.
        TransferUnderRight,
        /// A transfer waits for operations on what it overlaps, copies on their way among them.
        TransferWaits,
        /// The owner's clients change nothing of the family meanwhile.
        TransferLocks,
        /// Holders are frozen before the new owner learns who they are.
        TransferFreezes,
        /// The new owner learns it when all are frozen.
        TransferAwaitsFrozen,
        /// A holder tells that it is frozen.
        TransferSaysFrozen,
        /// What is frozen is not changed.
        TransferHolds,
        /// A refused transfer thaws.
        TransferThaws,
        /// The old owner's capabilities belong to the new owner afterwards.
        TransferHandsOver,
        /// They are unlocked then.
        TransferUnlocks,
        /// Or when it is refused.
        TransferUnlocksRefused,
        /// The new owner is asked once.
        TransferAsksOnce,
        /// It is not told of itself.
        TransferListsOthers,
        /// It takes nothing over if it has no place for what comes with it.
        TransferAdoptsWhatCame,
        /// What it holds of the family is its own.
        TransferOwnsOwn,
        /// The old owner forgets who holds it.
        TransferForgets,
        /// The new owner's word counts also after the old one's death has ended the freeze.
        TransferHearsLate,
        /// The new owner hears of the old owner's capabilities.
        TransferListsOwn,
        /// The old owner decides until the new one has agreed, and then no more.
        TransferAwaitsAdopted,
        /// Who was not asked to adopt does not.
        TransferAdoptedAwaited,
        /// The new owner says whether it adopted.
        TransferSaysAdopted,
        /// The new owner does not record holders that are gone.
        TransferSkipsDead,
        /// The new owner tells the holders.
        TransferTellsAll,
        /// So does the old one, in case the new one dies over it.
        TransferTellsTwice,
        /// The second word is ignored.
        TransferHearsOnce,
        /// The new owner tells the old one first.
        TransferTellsOldFirst,

        /// Nobody waits for an OSnode that is gone to take a copy.
        GoneAnswersTaken,
        /// Nor to mark.
        GoneAnswersMarked,
        /// Nor to delete, if it went before all had marked.
        GoneAnswersSwept,
        /// Nor to freeze.
        GoneAnswersFrozen,
        /// Nor to adopt.
        GoneAnswersAdopted,
        /// An OSnode is gone once.
        GoneOnce,
        /// What it said of others that were gone does not count.
        GoneForgetsInventory,
        /// Who is gone holds nothing.
        GoneHoldsNothing,
        /// What an OSnode that is gone had marked or frozen is free again.
        GoneReleases,
        /// But not what it had decided to delete.
        GoneLeavesSweep,
        /// An inventory is said when nothing of it is being deleted.
        GoneAwaitsSweep,
        /// It is said then.
        GoneTellsAfterSweep,
        /// It is said when others have forgotten translations of what is gone here.
        GoneAwaitsFlush,
        /// An inventory is said when nothing of it is frozen for the dead.
        GoneAwaitsThaw,
        /// It is said when the old owner keeps it.
        GoneTellsAfterThaw,
        /// Or when it is known who owns it.
        GoneTellsAfterNews,
        /// It is said only when somebody is gone.
        GoneTellsOfDead,
        /// It is said once.
        GoneTellsOnce,
        /// A long one is said in parts.
        GoneTellsInParts,
        /// All of which are waited for.
        GoneAwaitsParts,
        /// After another death, those of that time are waited for.
        GoneAwaitsNewest,
        /// Those that came before this OSnode heard of that death are kept.
        GoneKeepsNewer,
        /// Inventories go to all survivors.
        GoneTellsInventory,
        /// After another death, what was inherited before counts.
        GoneTellsInherited,
        /// So does what only others hold of it.
        GoneTellsLeft,
        /// Nothing is inherited before every survivor's inventory is there.
        GoneAwaitsInventories,
        /// The lowest holder inherits.
        GoneInherits,
        /// But for what was inherited before.
        GoneKeepsSettled,
        /// What was adopted from the dead stays with who adopted it.
        GoneKeepsAdopted,
        /// The heir does not stand in its own directory.
        GoneKnowsOwn,
        /// What somebody adopted from the dead is not inherited.
        GoneLeavesAdopted,
        /// The heir learns who else holds it.
        GoneRecordsHolders,
        /// Requests that the dead owner did not answer go to the heir.
        GoneAsksAgain,
        /// Requests that come before the inheritance is settled wait for it.
        GoneQueues,
        /// The lowest survivor says what the dead left.
        GoneLeavesEstate,
        /// Nobody else does.
        GoneLeavesOnce,

        /// Kernels route operations on objects with relatives elsewhere to the monitor.
        FlagsTold,
        /// They hear nothing of what others own.
        FlagsOfOwn,
    }
    /// Of unmaps.
    UNMAP {
        /// The entries are cleared before anybody flushes.
        UnmapClears,
        /// The owner flushes.
        UnmapFlushesOwn,
        /// The others flush.
        UnmapFlushes,
        /// Those below are told.
        UnmapPassesOn,
        /// Those below are waited for.
        UnmapAwaits,
        /// Those above are answered.
        UnmapAnswers,
        /// Whoever told it is answered.
        UnmapAnswersAll,
        /// Who is gone is not told, but those below it.
        UnmapSkipsGone,
        /// Who is gone is not waited for.
        UnmapAnswersForGone,
        /// Those below who is gone are told again.
        UnmapReplants,
        /// Nobody can walk a table of who is gone when what it had becomes free.
        UnmapBuriesTables,
    }
    /// Of channels between clients and services.
    BIND {
        /// Nothing is said to who is gone.
        BindTellsLiving,
        /// A line is given up once.
        BindGivesUpOnce,
        /// Its client is answered once.
        BindAnswersOnce,
        /// A line whose Frame is on its way is over when that is there.
        BindAwaitsLent,
        /// Deadlines are for lines that do not stand yet.
        BindLateUnbound,
        /// And have passed.
        BindAwaitsDeadline,
        /// Whoever gives a line up says so.
        BindShuts,
        /// Also if its Frame was still on its way.
        BindShutsLent,
        /// A line that is given up while it is offered ends then.
        BindRemembersShut,
        /// A line whose service ends while it is offered ends then.
        BindRemembersEnded,
        /// What a service that ended said does not count.
        BindRefusesEnded,
        /// A line that is over when it was offered ends.
        BindEndsOver,
        /// One that the service does not want ends.
        BindEndsRefused,
        /// Lines of other services do not end.
        BindEndsOwn,
        /// The service hears that a line is over, and its OSnode keeps no copy of the Frame.
        BindWithdraws,
        /// The client's side hears that the service ended.
        BindTellsEnded,
        /// It closes the channel.
        BindClosesEnded,
        /// If it has it still.
        BindClosesOpen,
        /// Nobody waits for a service whose OSnode is gone.
        BindAnswersForGone,
        /// The client sees that its service is gone.
        BindClosesForGone,
        /// Lines of an OSnode that is gone are over.
        BindShutsForGone,
        /// Frames that it lent and no service took are given back.
        BindForgetsLent,
    }
    /// Of joining, stopping and the view.
    MEMBERSHIP {
        /// A new OSnode is made known to all.
        JoinTellsAll,
        /// But not to itself, or by a sponsor to itself.
        JoinTellsOthers,
        /// Nor to who is gone.
        JoinSkipsGone,
        /// Nor twice.
        JoinTellsOnce,
        /// It is told to enter once.
        JoinEntersOnce,
        /// A join is over when it has entered.
        JoinEndsEntered,
        /// And all know it.
        JoinEndsKnown,
        /// A join of who is gone is over.
        JoinDropsGone,
        /// One that only waited for who is gone is over.
        JoinEndsForGone,
        /// It enters when all know it.
        JoinAwaitsKnown,
        /// Who is known to those that know it is told as well.
        JoinTellsMore,
        /// Its sponsor tells it what is new until all know it.
        JoinTellsNews,
        /// Who knows it says so.
        JoinSaysKnown,
        /// It runs when it has entered.
        JoinAwaitsEntered,
        /// It says that it has entered.
        JoinSaysEntered,
        /// Who is gone need not know it.
        JoinAnswersForGone,
        /// A sponsor that is gone is replaced.
        JoinTakesOver,
        /// One that is not gone is not.
        JoinTakesOverOrphan,
        /// By one.
        JoinTakesOverOnce,
        /// Who tells of whom else it sponsors: it may have entered already.
        JoinTakesOverTells,
        /// Who is stopped need not know it, unless it comes back meanwhile.
        JoinAwaitsBack,
        /// Nor is it taken for running before it knows who entered meanwhile.
        JoinHoldsBack,
        /// It is once who waits for its answer is gone.
        JoinLetsBackForGone,
        /// Who was stopped enters once more before it is taken for running.
        ViewBackEnters,
        /// Who finds out that it was stopped says that it is back.
        ViewBackSays,
        /// To somebody who runs.
        ViewBackAsksRunning,
        /// It is told to enter once.
        ViewBackOnce,
        /// Who is back and then gone is not waited for.
        ViewBackDropsGone,
        /// It enters until it knows what was learnt meanwhile.
        ViewBackKnowsAll,
        /// It asks somebody else when who was helping it is gone.
        ViewBackAsksAgain,
        /// Older facts do not replace newer ones.
        ViewNewer,
        /// Who is gone is gone for ever.
        ViewGoneStays,
        /// Whatever is known of it.
        ViewGoneCounts,
        /// Of facts that count as many changes, one is the last.
        ViewRanks,
        /// All are told of a change.
        ViewTells,
        /// But who is gone.
        ViewTellsLiving,
        /// What somebody told who is gone is told again.
        ViewTellsAgain,
        /// By one who is then taken for who told it.
        ViewAnswersFor,
    }
    /// Of how two monitors connect.
    CONNECT {
        /// If two monitors offer channels to each other, the lower id's are used.
        ConnectLower,
        /// Who is connected takes no other channels.
        ConnectOnce,
        /// Who accepted channels says so again: the first answer may be lost.
        ConnectAgain,
        /// The same channels are offered until they are answered.
        ConnectSame,
    }
}

impl Rule {
    /// Those that matter only if somebody says what no machine says, or says it twice. Unit tests miss them.
    pub const BAD_INPUT: &'static [Rule] = &[
        Rule::AskOnce,
        Rule::CopyTakenAwaited,
        Rule::DropOfHolder,
        Rule::RevokeMarkedAwaited,
        Rule::TransferAdoptedAwaited,
    ];
}
