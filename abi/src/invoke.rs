//! Invocations: operations on capabilities (r0 bits 8–15 of `Invoke`).

macro_rules! ops {
    ($($(#[doc = $doc:literal])* $name:ident = $n:literal,)*) => {
        /// Operations. r1 is the invoked capability; arguments from r2 on, results from r1 on.
        /// `cap` arguments are [`crate::CapAddr`]s in the caller's CSpace.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Op { $($(#[doc = $doc])* $name = $n,)* }
        impl Op {
            /// Every operation, by number.
            pub const ALL: &'static [Op] = &[$(Op::$name),*];
            /// The operation with this number.
            #[must_use]
            pub const fn from_u8(n: u8) -> Option<Op> {
                match n { $($n => Some(Op::$name),)* _ => None }
            }
        }
    };
}

ops! {
    /// Any capability: r1..r4 = its four words ([`capfmt::RawCap`]), r5 = MDB flags and owner (flags | owner << 16).
    Identify = 0,
    /// CNode: copy. r2 = source cap, r3 = destination address (in the *invoked* CNode as root), r4 = rights | 1 << 8 to set badge r5 (Endpoint without badge only) or Notify channel. Invoked cap is the destination's root CNode.
    Copy = 1,
    /// CNode (destination root): move. r2 = source cap, r3 = destination address.
    Move = 2,
    /// CNode (own root): delete the capability at r2. May be a long operation (the caller waits).
    Delete = 3,
    /// CNode (own root): revoke the capability at r2. Long operation (the caller waits).
    Revoke = 4,
    /// Retypable capability: r2 = offset in bytes, r3 = type | param << 8 (VNode level; CNode: log2 slots) , r4 = object size in bytes (sized types), r5 = count, r6 = destination CNode root cap, r7 = first destination address. Result r1 = count made (all or none).
    Retype = 5,
    /// Ram: the RAM in r2, which begins where the invoked one ends, becomes part of it; slot r2 is empty then. Refused while anything covers some of their bytes and not all of them and more: copies, what was made of them.
    Merge = 6,
    /// VNode: r2 = Frame/DevFrame/UmpEndpoint/VNode cap, r3 = first index, r4 = offset in the region in bytes, r5 = count | rights << 32 | flags << 40 (1 = uncached), r6 = destination slot of the Mapping.
    Map = 16,
    /// Mapping: unmap (the Mapping stays, empty and without rights, until deleted: deletion unmaps too).
    Unmap = 17,
    /// Mapping: change the rights to r2.
    Protect = 18,
    /// Dispatcher: configure. r2 = CSpace root cap, r3 = root VNode cap, r4 = dispatcher Frame cap, r5 = fault Endpoint cap (0 = leave each).
    DispConfigure = 32,
    /// Dispatcher: start or stop. r2 = 1 run, 0 stop. Starting resumes the disabled save area (written by the holder of the frame).
    DispRun = 33,
    /// Dispatcher: scheduling. r2 = class, r3 = budget ns, r4 = period ns.
    DispSchedule = 34,
    /// Dispatcher: name r2, r3 (16 bytes).
    DispName = 35,
    /// Dispatcher: r1 = state, r2 = core time used ns, r3 = system calls, r4 = preemptions, r5 = id, r6 = name word 0, r7 = name word 1.
    DispInfo = 36,
    /// Dispatcher: open endpoint r2 with ring slots r3 (first) and r4 (count, power of two); r5 = destination slot for the Endpoint capability.
    EndpointOpen = 37,
    /// Dispatcher: set the receive slot of endpoint r2 to address r3.
    EndpointReceive = 38,
    /// Dispatcher: bind a word of the notification page; result r1 = first channel (word × 64).
    NotifyBind = 39,
    /// Notify: signal the channel.
    Signal = 48,
    /// Notification: mint a Notify for channel r2 into slot r3.
    NotifyMint = 49,
    /// IrqSource: mint IrqDest for source r2 into slot r3.
    IrqMint = 64,
    /// IrqDest: bind to own endpoint r2 (an Endpoint cap). Each interrupt is one message [source]; the source stays masked until acknowledged.
    IrqBind = 65,
    /// IrqDest: acknowledge (unmask).
    IrqAck = 66,
    /// IoPort: r2 = port, r3 = width in bytes; result r1 = value. x86 only.
    PortIn = 72,
    /// IoPort: r2 = port, r3 = width in bytes, r4 = value. x86 only.
    PortOut = 73,
    /// Kernel: r1..r3 = build id, r4, r5 = name, r6 = KCB formats (newest | oldest << 16), r7 = core id.
    KernelIdentify = 80,
    /// Kernel: append to the log. r2 = bytes (<= 40), r3..r7 = text.
    KernelLog = 81,
    /// Kernel: halt the machine with exit code r2 (0 = success). Refused unless the capability has every right.
    KernelHalt = 82,
    /// Kernel: OSnode facts: r1 = OSnode id, r2 = KCB address, r3 = attach epoch, r4 = rollbacks, r5 = attaches that found a long operation in progress, r6 = notification page, r7 = 1 while another OSnode's kernel cares for it.
    OsnodeInfo = 83,
    /// Kernel: counter facts of the core: r1 = counter Hz, r2 = mult, r3 = shift.
    ClockInfo = 84,
    /// Kernel: append r2 (a Frame without copies or mappings, written by its holder) to what the kernel knows as a sealed object: r3 = type (Kcb, Core), r4 = offset of the object in the frame. The Frame becomes that capability.
    Seal = 85,
    /// Kernel: mark a Frame, UmpEndpoint or Notify (r2) and its copies as having copies on other OSnodes. Results r1..r4 = its words, for `CapImport` there. Refused unless the capability has every right.
    CapExport = 86,
    /// Kernel: make a copy of another OSnode's capability. r2..r5 = the words that `CapExport` gave, r6 = OSnode that owns it, r7 = destination slot. Refused unless the capability has every right.
    CapImport = 87,
    /// Kernel: r2..r5 = words of an object (rights and badge do not count). r1 = 1 if a copy of it, or a Mapping made from it, is held here; r2 = OSnode id of the owner; r3 = MDB flags of all copies. This and all operations with numbers from 88 to 95 and from 121 to 126 are refused unless the Kernel capability has every right.
    CapOwner = 88,
    /// Kernel: the next object held here, in the order of the derivation tree, that has numbers in common with the range from r2 to r3 (exclusive; class Nowhere: both 0). r4 = class | kind << 8 | param << 32, r5 = base, r6 = size, r7 = extra: the object after which to look (kind Null: from the beginning). r1..r4 = words, r5 = OSnode id of the owner, r6 = flags of all copies. Copies are one object. r7 = 1; 0 for a Mapping whose object is listed itself: go on after it. A Mapping with r7 = 1 is all that is held of what it maps. NoCapability: there is none.
    CapNext = 89,
    /// Kernel: delete the capability in own slot r2, whatever other OSnodes hold. r1 = 1 if its object is still held here.
    CapRemove = 90,
    /// Kernel: r2..r5 = words of an object, r6 = OSnode id: the owner of all copies and Mappings here.
    CapSetOwner = 91,
    /// Kernel: r2..r5 = words of an object, r6 = what other OSnodes hold: 1 copies, 2 ancestors, 4 descendants.
    CapSetRemote = 92,
    /// Kernel: r2..r5 = words of an object, r6 = 1 lock, 0 unlock it and everything derived from it here: while locked, Revoke and Retype wait for the monitor.
    CapLock = 93,
    /// Kernel: r2..r5 = words of an object, r6 = copy to keep: 0 none, 1 any one, n + 2 the one that the waiting Revoke of dispatcher n names. Marks all other copies and everything derived as being deleted; all or nothing (StillInUse). Long operation.
    CapMark = 94,
    /// Kernel: r2..r5 = words of an object: takes the marks of its family back. Long operation.
    CapUnmark = 95,
    /// Core: mint a CoreControl into slot r2.
    CoreMint = 96,
    /// CoreControl: take the holder word (r2 = OSnode to hand it to).
    CoreHandOver = 97,
    /// CoreControl: command, and signal the core (Stop: stop interrupt, else wake). r2 = command (capfmt::CoreCommand; None in any status), r3 = Kcb cap (Start), r4 = image record (Start; else the last one stays). Result r1 = sequence number.
    CoreCommand = 98,
    /// CoreControl: signal. r2 = 0 wake, 1 stop interrupt, 2 NMI, 3 INIT, 4 SIPI (r3 = page) / PSCI CPU_ON; result r1 = firmware status.
    CoreSignal = 99,
    /// CoreControl: r1 = status, r2 = target sequence, r3 = home sequence, r4 = KCB, r5 = image record of the last Start, r6 = epitaph kind, r7 = epitaph pc.
    CoreInfo = 100,
    /// CoreControl: read the words from r2 (byte offset, 8-aligned) of the Core object on; results r1 to r7.
    CoreRead = 101,
    /// CoreControl: write the operation record: r2 = op, r3 = phase, r4 = KCB address.
    CorePhase = 102,
    /// CoreControl: write image record r2 from the words at r3 (user address in the caller's message words is not used: r3 = word index 0..15, r4 = value).
    CoreImage = 103,
    /// CoreControl, Kcb cap r2: a core in the pen lets go of the KCB that its dead kernel left attached, so that another core can run it or its memory go; one that crashed with it counts as penned from then on.
    CoreRelease = 104,
    /// Kcb: r1 = OSnode id, r2 = state word, r3 = format, r4 = isa, r5 = features, r6 = KCB address, r7 = index of
    /// the core that ran it last, plus one (0 = none) | 1 << 32 if its monitor has ended, and the OSnode with it.
    KcbInfo = 112,
    /// Kcb: r2 = 1: care for this OSnode, which ran and is detached (else `Attached`), until another kernel starts it or r2 = 0: its monitor answers others, on this core (`kernel::care`).
    KcbCare = 113,
    /// Id/Domain: made from Kernel: r2 = type (Id or Domain), r3 = destination slot.
    IdCreate = 120,
    /// Kernel: r2..r5 = words of an object: deletes what `CapMark` marked of its family. Long operation.
    CapSweep = 121,
    /// Kernel: a dispatcher whose call waits for the monitor: with r3 = 0 the first whose id is above r2, with r3 = 1 the one whose id is r2. r1 = its id (0 = none), r2 = operation | count << 16 (of one that waits for `Flushed`: the number that it waits for), r3..r6 = words of the target (r3 was 1: of what the call makes or unmaps), r7 = how often the last copy of a shared object went away here. If there is none, r2 and r3 are the results of `Flushed`.
    CapPending = 122,
    /// Kernel: end the waiting call of dispatcher r2. r3 = 0: carry it out now, whatever other OSnodes hold; 1: it succeeded; 2: it is refused with error r4 (`TryLater`: with the view, as `late` makes it). r1 = status of the call (0 = done).
    CapAnswer = 123,
    /// Kernel: r2 = channel of this OSnode's notification page that is set when a call begins to wait for the monitor, or a shared object's last copy went away; u64::MAX = none.
    MonitorBind = 124,
    /// Kernel: forget all user translations of this core.
    TlbFlush = 125,
    /// Kernel: r2 = CNode (256 slots) that memory comes back to as Ram when its last capability goes, r3 = channel that is set when a slot was filled (u64::MAX = none); r2 = 0: no longer.
    ReclaimBind = 126,
    /// Kernel: everybody has flushed what was taken out of tables that other OSnodes use, up to the removal with number r2 (0 = only look). r1 = number of the last removal, r2 = number up to which everybody has flushed.
    Flushed = 127,
}
