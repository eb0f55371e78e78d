//! What must be true of a world, always and when nothing is left to be done.

use capfmt::{CapType, OsnodeId};
use monitor::agree::{Gift, Input, Message, Nodes, Object, OpId, Outcome, Refusal, Request};

use super::kernel::Caps;
use super::objects::{P, name, pages};
use super::scenario::{Act, shown};
use super::world::{Phase, State, World};

/// An operation, for people.
pub fn op(op: &OpId) -> String {
    format!("o{}.{}", op.origin.0, op.number)
}

/// A message, for people.
pub fn brief(message: &Message) -> String {
    let named = |verb: &str, o: &OpId, what: &Object| format!("{verb} {} [{}]", name(what), op(o));
    match message {
        Message::Ask { op: o, request } => format!("Ask {} [{}]", shown(request), op(o)),
        Message::Take { op: o, object, .. } => named("Take", o, object),
        Message::Taken {
            op: o,
            object,
            outcome,
            holds,
        } => format!("{} {outcome:?} holds={holds}", named("Taken", o, object)),
        Message::Mark {
            op: o,
            object,
            keep,
        } => format!("{} keep={keep}", named("Mark", o, object)),
        Message::Freeze {
            op: o, object, to, ..
        } => format!("{} for o{}", named("Freeze", o, object), to.0),
        Message::NewOwner {
            op: o,
            object,
            owner,
        } => format!("{} is o{}", named("NewOwner", o, object), owner.0),
        Message::Dropped { object } => format!("Dropped {}", name(object)),
        Message::Adopt {
            op: o,
            object,
            holders,
            give,
        } => {
            let holders: Vec<String> = (holders.iter())
                .map(|(o, n)| format!("{} at o{}", name(o), n.0))
                .collect();
            let give = give.is_some();
            format!("{} give={give} {holders:?}", named("Adopt", o, object))
        }
        Message::Inventory { held, .. } => {
            let held: Vec<String> = (held.iter())
                .map(|(o, owner)| format!("{} of o{}", name(o), owner.0))
                .collect();
            format!("Inventory {held:?}")
        }
        Message::Reply { op: o, outcome } => format!("Reply {outcome:?} [{}]", op(o)),
        other => format!("{other:?}"),
    }
}

/// Makes `owner` account for the pages of `object`.
pub fn enter(ledger: &mut [u64; 3], object: &Object, owner: OsnodeId) {
    let bits = pages(object.base(), object.end());
    for (p, account) in ledger.iter_mut().enumerate() {
        if bits >> p & 1 != 0 {
            *account = owner.0;
        }
    }
}

/// A new owner accounts for what it adopts.
pub fn adoption(s: &mut State, id: OsnodeId, input: &Input, sent: &Message) {
    let Input::Message {
        message: Message::Adopt { object, .. },
        ..
    } = input
    else {
        return;
    };
    if matches!(
        sent,
        Message::Adopted {
            outcome: Ok(()),
            ..
        }
    ) {
        s.past.change_with(|p| enter(&mut p.ledger, object, id));
    }
}

/// Pages that capabilities of the living cover, also those on their way.
fn covered(s: &State) -> u8 {
    let mut bits = 0;
    for (id, node) in s.living() {
        // The right to make device frames is none to memory.
        let memory = node.caps.held.keys().filter(|o| !o.is_address_right());
        for object in memory {
            bits |= pages(object.base(), object.end());
        }
        for from in s.ids() {
            for message in s.channel(from, id) {
                if let Message::Take { object, .. }
                | Message::Adopt {
                    object,
                    give: Some(_),
                    ..
                } = message
                {
                    bits |= pages(object.base(), object.end());
                }
            }
        }
    }
    bits
}

/// Pages went back to a memory server.
pub fn freed(s: &mut State, base: u64, end: u64) -> Result<(), String> {
    let bits = pages(base, end);
    if s.past.freed & bits != 0 {
        return Err("memory was freed twice".into());
    }
    s.past.change_with(|p| p.freed |= bits);
    Ok(())
}

/// What the dead left goes back, too.
pub fn estate(s: &mut State, dead: &Nodes, held: &[Object]) -> Result<(), String> {
    let mut bits = 0;
    for (p, account) in s.past.ledger.iter().enumerate() {
        if dead.contains(&OsnodeId(*account)) {
            bits |= 1 << p;
        }
    }
    for object in held {
        bits &= !pages(object.base(), object.end());
    }
    let dead: Vec<OsnodeId> = dead.iter().copied().collect();
    if s.past.estates.contains(&dead) {
        return Err("two say what the dead left".into());
    }
    // What they left earlier is back already, and no longer accounted for by them.
    s.past.change_with(|p| {
        p.freed |= bits;
        p.estates.insert(dead);
    });
    Ok(())
}

/// A client was answered.
pub fn answer(
    world: &World,
    s: &mut State,
    op: OpId,
    outcome: Outcome,
    before: &Caps,
) -> Result<(), String> {
    let Some(request) = world.request(&op) else {
        return Err("an answer to nobody".into());
    };
    if s.past.answers.contains_key(&op) {
        return Err(format!("{} is answered twice", self::op(&op)));
    }
    s.past.change_with(|p| p.answers.insert(op, outcome));
    let caps = &s.node(op.origin).caps;
    let object = request.object();
    let alone = world.scenario.asks.len() == 1 && !world.scenario.faults.any();
    let anywhere = |is: &dyn Fn(&Object) -> bool| {
        let mut held = s.living().flat_map(|(_, n)| n.caps.held.keys());
        held.any(is)
    };
    let early = outcome == Err(Refusal::TryLater) && !s.past.late;
    if early && world.scenario.asks.len() <= 2 {
        return Err("a client is told to try later before its deadline".into());
    }
    let came = |object: &Object| -> u8 {
        let each = s.nodes.iter().map(|n| n.caps.came.get(&(op, *object)));
        each.flatten().sum()
    };
    match (request, outcome) {
        (Request::Copy { .. }, Ok(())) if came(&object) != 1 => {
            Err("a copy that was reported did not arrive once".into())
        }
        (Request::Move { .. }, Ok(())) if came(&object) != 1 => {
            Err("what was moved did not arrive once".into())
        }
        (Request::Move { .. }, Ok(()))
            if before.held.contains_key(&object) && caps.removals == before.removals =>
        {
            Err("what was moved is still there".into())
        }
        (Request::Retype { child, count, .. }, Ok(()))
            if child.row(*count).any(|c| came(&c) != 1) =>
        {
            Err("a retype that was reported made nothing".into())
        }
        (Request::Retype { count: 0, .. }, Ok(())) => Err("nothing was made".into()),
        (Request::Retype { child, count, .. }, Err(Refusal::Overlaps))
            if alone && !anywhere(&|o| is_in_the_way(o, &object, &child.span(*count))) =>
        {
            Err("nothing is in the way of what is not made".into())
        }
        (Request::Transfer { .. }, Err(Refusal::NotRoot))
            if alone && !anywhere(&|o| object.descends_from(o) && !o.is_address_right()) =>
        {
            Err("nothing is above what is not given away".into())
        }
        (Request::Transfer { .. }, Ok(()))
            if before
                .held
                .get(&object)
                .is_some_and(|h| h.owner != op.origin) =>
        {
            Err("who does not own it gave it away".into())
        }
        (Request::Revoke { .. }, Ok(()))
            if !before.held.contains_key(&object) && caps.removals == 0 =>
        {
            Err("the keeper lost what it revoked".into())
        }
        (Request::Revoke { .. }, Err(Refusal::StillInUse))
            if s.nodes.iter().any(|n| n.caps.swept.contains(&op)) =>
        {
            Err("a revoke that was refused deleted something".into())
        }
        _ => Ok(()),
    }
}

/// Whether something keeps `row` from being made of `source`: not what that comes from, nor the block of an OSnode.
fn is_in_the_way(o: &Object, source: &Object, row: &Object) -> bool {
    o.overlaps(row) && !source.is_within(o) && o.cap().kind != CapType::Kcb
}

/// What came has the rights that were given with it, no others.
pub fn gifts(world: &World, came: &[(OpId, Gift)]) -> Result<(), String> {
    for (op, gift) in came {
        match world.request(op) {
            Some(Request::Copy { gift: given, .. } | Request::Move { gift: given, .. })
                if given == gift => {}
            _ => return Err("a copy comes with other rights than were given".into()),
        }
    }
    Ok(())
}

/// A revoke is complete: nothing survived. What `owner` got in the same step, it got afterwards.
pub fn revoked(
    world: &World,
    s: &State,
    op: OpId,
    object: &Object,
    owner: (OsnodeId, &Caps),
) -> Result<(), String> {
    let usable = s.living().fold(0, |bits, (_, n)| bits | n.caps.revoked);
    if usable & pages(object.base(), object.end()) != 0 {
        return Err(format!("{} can be used after its revoke", name(object)));
    }
    for (id, node) in s.living() {
        for (held, entry) in &node.caps.held {
            let kept = held == object && id == op.origin && entry.copies == 1;
            let new = id == owner.0 && node.caps.came != owner.1.came;
            if held.is_within(object) && !kept && !new {
                return Err(format!("{} at o{} survives its revoke", name(held), id.0));
            }
        }
        for from in s.ids() {
            for message in s.channel(from, id) {
                let coming: Vec<Object> = match message {
                    Message::Take { object, .. } => vec![*object],
                    Message::Reply {
                        op,
                        outcome: Ok(()),
                    } => match world.request(op) {
                        Some(Request::Retype { child, count, .. }) => child.row(*count).collect(),
                        _ => Vec::new(),
                    },
                    _ => Vec::new(),
                };
                if coming.iter().any(|c| c.is_within(object)) {
                    return Err(format!("{} escapes its revoke", name(object)));
                }
            }
        }
    }
    Ok(())
}

/// Pages that somebody can use through translations of what is deleted.
fn stale(s: &State) -> u8 {
    s.living().fold(0, |bits, (_, n)| bits | n.caps.stale)
}

/// What must be true in every state.
pub fn always(s: &State) -> Result<(), String> {
    let mut held: Vec<(&Object, OsnodeId)> = Vec::new();
    // What an OSnode decides about: its own, and what stands in its directory.
    let mut claims: Vec<(&Object, OsnodeId)> = Vec::new();
    for (id, node) in s.living() {
        held.extend(node.caps.held.keys().map(|o| (o, id)));
        let own = node.caps.held.iter().filter(|(_, h)| h.owner == id);
        let own = own.map(|(o, _)| o).chain(node.agent.directory().objects());
        // The right to make device frames goes over memory of others.
        let own = own.filter(|o| !node.agent.hands_over(o) && !o.is_address_right());
        claims.extend(own.map(|o| (o, id)));
    }
    for (i, (a, n)) in held.iter().enumerate() {
        for (b, m) in &held[..i] {
            if !a.agrees_with(b) {
                return Err(format!(
                    "{} at o{} conflicts with {} at o{}",
                    name(a),
                    n.0,
                    name(b),
                    m.0
                ));
            }
        }
    }
    for (i, (a, n)) in claims.iter().enumerate() {
        for (b, m) in &claims[..i] {
            if n != m && a.overlaps(b) {
                return Err(format!(
                    "two owners: o{} of {}, o{} of {}",
                    n.0,
                    name(a),
                    m.0,
                    name(b)
                ));
            }
        }
    }
    if covered(s) & s.past.freed != 0 {
        return Err("memory was freed that a capability covers".into());
    }
    if stale(s) & s.past.freed != 0 {
        return Err("memory was freed that somebody can still use".into());
    }
    Ok(())
}

/// What must be true when nothing is left to be done.
pub fn at_rest(world: &World, s: &State) -> Result<(), String> {
    for (id, node) in s.living() {
        if !node.agent.is_idle() {
            return Err(format!("o{} waits for ever", id.0));
        }
        let caps = &node.caps;
        if caps.stale != 0 {
            return Err(format!("nobody flushes for o{}", id.0));
        }
        if !(caps.marks.is_empty() && caps.locks.is_empty() && caps.sweeping.is_empty()) {
            return Err(format!("something of o{} stays marked or locked", id.0));
        }
        directory_is_exact(s, id)?;
    }
    for (place, (id, act)) in world.scenario.asks.iter().enumerate() {
        let op = world.op(place);
        let Some(request) = act.request() else {
            continue;
        };
        if s.past.answers.contains_key(&op) || s.node(*id).phase == Phase::Dead {
            continue;
        }
        return Err(format!("{} of o{} is not answered", shown(request), id.0));
    }
    moves_are_single(world, s)?;
    let all = pages(P().base(), P().end());
    let exists = covered(s) | s.past.freed;
    let start = world.scenario.objects.iter();
    let start = start.fold(0, |b, (o, ..)| b | pages(o.base(), o.end()));
    if exists != all & start {
        return Err("memory is lost: no capability, and not freed".into());
    }
    Ok(())
}

/// Holders and their owner know the same.
fn directory_is_exact(s: &State, id: OsnodeId) -> Result<(), String> {
    let node = s.node(id);
    for (object, held) in &node.caps.held {
        let owner = s.node(held.owner);
        if owner.phase == Phase::Dead {
            return Err(format!("{} at o{} belongs to the dead", name(object), id.0));
        }
        let known = owner.agent.directory().holds(object, id);
        if held.owner != id && !known {
            return Err(format!(
                "o{} does not know of {} at o{}",
                held.owner.0,
                name(object),
                id.0
            ));
        }
        let beside = node.agent.directory().beside(object);
        // Transfers leave those of the right to make device frames as they are.
        if held.owner == id && held.remote != beside && !object.is_address_right() {
            return Err(format!("wrong flags of {} at o{}", name(object), id.0));
        }
    }
    for (object, holder) in node.agent.directory().entries() {
        if holder == id {
            return Err(format!("o{} stands in its own directory", id.0));
        }
        let there = s.node(holder);
        let held = there.caps.held.get(&object);
        if there.phase == Phase::Dead || held.is_none_or(|h| h.owner != id) {
            return Err(format!(
                "o{} believes that o{} holds {}",
                id.0,
                holder.0,
                name(&object)
            ));
        }
    }
    Ok(())
}

/// What one OSnode had once did not move to two.
fn moves_are_single(world: &World, s: &State) -> Result<(), String> {
    for (id, node) in s.living() {
        for (object, _, holders) in &world.scenario.objects {
            let had = u8::from(holders.contains(&id));
            let came = node.caps.came.iter().filter(|((_, o), _)| o == object);
            let came: u8 = came.map(|(_, n)| n).sum();
            let asks = world.scenario.asks.iter().enumerate();
            let moved = asks.filter(|(place, (n, request))| {
                let moves = matches!(request, Act::Ask(Request::Move { .. }))
                    && request.object() == *object;
                moves && *n == id && s.past.answers.get(&world.op(*place)) == Some(&Ok(()))
            });
            if moved.count() > usize::from(had + came) {
                return Err(format!(
                    "one {} of o{} was moved to two",
                    name(object),
                    id.0
                ));
            }
        }
    }
    Ok(())
}
