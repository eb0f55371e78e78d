//! What machines may say, to whom, and in which order.

use capfmt::OsnodeId;
use monitor::agree::{Input, Message, OpId, Request};

use super::world::{LIMITS, Phase, State, World};

/// A request comes to its owner; who that is changes only with transfers and deaths.
pub fn comes(world: &World, s: &mut State, id: OsnodeId, input: &Input) {
    let (Input::Client { op, .. }
    | Input::Message {
        message: Message::Ask { op, .. },
        ..
    }) = input
    else {
        return;
    };
    if many(world) && world.scenario.objects[0].1 == id {
        s.past.change_with(|p| p.turns.push(*op));
    }
}

fn many(world: &World) -> bool {
    world.scenario.asks.len() > 2 && !world.scenario.faults.any()
}

/// Its owner ends a request: not before a revoke that came earlier, if they are about the same memory.
pub fn in_turn(world: &World, s: &mut State, id: OsnodeId, op: OpId) -> Result<(), String> {
    if !many(world) || world.scenario.objects[0].1 != id {
        return Ok(());
    }
    let Some(place) = s.past.turns.iter().position(|t| *t == op) else {
        return Ok(());
    };
    let revokes = |t: &OpId| matches!(world.request(t), Some(Request::Revoke { .. }));
    if s.past.turns[..place].iter().any(revokes) {
        return Err("a request is carried out before one that came earlier".into());
    }
    s.past.change_with(|p| p.turns.remove(place));
    Ok(())
}

/// What may be said, and to whom.
pub fn sent(
    world: &World,
    s: &mut State,
    (from, to): (OsnodeId, OsnodeId),
    message: &Message,
) -> Result<(), String> {
    if from == to {
        return Err("a message to oneself".into());
    }
    if s.node(to).phase == Phase::Dead && !s.untold.contains(&(from.0, to.0)) {
        return Err("a message to who is known to be gone".into());
    }
    match message {
        Message::Adopt { holders, .. } if holders.len() > LIMITS.family => {
            Err("a family is too large for a message".into())
        }
        Message::Inventory { dead, .. } if dead.is_empty() => {
            Err("an inventory of nobody who is gone".into())
        }
        Message::Inventory { held, .. } if held.len() > LIMITS.inventory => {
            Err("an inventory is too long for a message".into())
        }
        Message::Reply { op, .. } => in_turn(world, s, from, *op),
        _ => Ok(()),
    }
}
