//! How two monitors come to one pair of channels.
//!
//! Whoever has something to say to an OSnode to which it has no channels makes a pair, and *offers* it by an introducer:
//! somebody who has channels to both. An introducer can end, so an offer or its answer can be lost, or arrive long after
//! another try. Therefore the same pair is offered until it is answered, and who accepted it says so again. If both
//! offer, the lower id's pair is used. So both use the same one, and what was said on it meanwhile is not lost.
//! Key types: [`Link`], [`offered`]. Not here: making channels, whom to ask (the monitor's `links`).

use capfmt::OsnodeId;

use super::{Rule, Rules};

/// A pair of channels: the regions of both Frames, packed. First the one on which its maker asks.
pub type Offer = [u64; 2];

/// How far a monitor is with another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Link {
    /// There is nothing to say to it.
    #[default]
    Idle,
    /// A pair is made, or offered.
    Asking,
    /// Connected by one's own pair.
    Own,
    /// Connected by its pair.
    Theirs(Offer),
}

/// What is said to an offer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// It is used from here on.
    Accept,
    /// It is used already; the answer was lost.
    Again,
    /// There is a pair, or one's own counts.
    Refuse,
}

/// Which pair is offered, of those that were `made` for it; `None`: a new one.
#[must_use]
pub fn offered<R: Rules>(rules: R, made: Option<Offer>) -> Option<Offer> {
    made.filter(|_| rules.hold(Rule::ConnectSame))
}

impl Link {
    /// What `me` says to this offer of `from`.
    #[must_use]
    pub fn judge<R: Rules>(self, rules: R, me: OsnodeId, from: OsnodeId, offer: Offer) -> Answer {
        let again = rules.hold(Rule::ConnectAgain);
        let lower = rules.hold(Rule::ConnectLower);
        match self {
            Link::Theirs(used) if used == offer && again => Answer::Again,
            Link::Own | Link::Theirs(_) if rules.hold(Rule::ConnectOnce) => Answer::Refuse,
            Link::Asking if me < from && lower => Answer::Refuse,
            _ => Answer::Accept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agree::Shipped;

    #[test]
    fn the_lower_id_counts_and_an_offer_is_accepted_again() {
        let judge =
            |link: Link, me, from| link.judge(Shipped, OsnodeId(me), OsnodeId(from), [1, 2]);
        assert_eq!(judge(Link::Idle, 1, 2), Answer::Accept);
        assert_eq!(judge(Link::Asking, 1, 2), Answer::Refuse);
        assert_eq!(judge(Link::Asking, 2, 1), Answer::Accept);
        assert_eq!(judge(Link::Own, 2, 1), Answer::Refuse);
        assert_eq!(judge(Link::Theirs([1, 2]), 1, 2), Answer::Again);
        assert_eq!(judge(Link::Theirs([1, 3]), 1, 2), Answer::Refuse);
        assert_eq!(offered(Shipped, None), None);
        assert_eq!(offered(Shipped, Some([1, 2])), Some([1, 2]));
    }
}
