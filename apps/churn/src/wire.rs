//! The ball as a message.

use proto::{Ask, PeerError, ServiceError};

use crate::Ball;

proto::interface! {
    /// Where balls are played.
    pub interface Court = 100, version 1, errors ServiceError;
    messages CourtRequest, CourtReply;
    stubs CourtClient, CourtServer;
    replies {
        /// The ball comes back.
        Back = 0x8001 {
            /// Number.
            number: u64,
            /// Running hash.
            hash: u64,
            /// Filling.
            filling: u64,
        };
    }
    requests {
        /// A ball.
        Hit = 1 hit {
            /// Number.
            number: u64,
            /// Running hash.
            hash: u64,
            /// Filling.
            filling: u64,
        } -> Back;
    }
}

/// Hits a ball; the one that comes back.
///
/// # Errors
/// The peer is lost.
pub async fn hit(peer: impl Ask, ball: Ball) -> Result<Ball, PeerError> {
    let court = CourtClient(peer);
    let back = court.hit(ball.number, ball.hash, ball.filling).await?;
    Ok(Ball {
        number: back.number,
        hash: back.hash,
        filling: back.filling,
    })
}
