//! What must be true when nothing is left to happen.

use capfmt::OsnodeId;
use monitor::agree::bind::Line;

use super::Lines;
use super::state::{Node, State};

impl Lines {
    /// What went wrong in the end.
    pub(super) fn judge(&self, s: &State) -> Result<(), String> {
        for (client, (n, to)) in s.clients.iter().zip(&self.clients) {
            if s.dead.contains(n) || client.over {
                continue;
            }
            let number = client.number.ok_or("a client never gets a Frame")?;
            match client.answer {
                None => return Err("a client is not answered".into()),
                Some(false) => continue,
                Some(true) => {}
            }
            let line = Line { client: *n, number };
            if s.dead.contains(to) || !s.nodes[to].accepted.contains_key(&line) {
                return Err("a client keeps a channel that no service has".into());
            }
        }
        for (n, node) in s.nodes.iter().filter(|(n, _)| !s.dead.contains(n)) {
            self.judge_node(s, *n, node)?;
        }
        Ok(())
    }

    fn judge_node(&self, s: &State, n: OsnodeId, node: &Node) -> Result<(), String> {
        let uses = |line: &Line| {
            let clients = s.clients.iter().zip(&self.clients);
            let mut of = clients.filter(|(c, (at, _))| {
                *at == line.client && c.number == Some(line.number) && !c.over
            });
            of.any(|(c, _)| c.answer == Some(true)) && !s.dead.contains(&line.client)
        };
        if node.accepted.keys().any(|line| !uses(line)) {
            return Err(format!(
                "the service of o{} keeps a channel that no client has",
                n.0
            ));
        }
        if !node.parcels.is_empty() {
            return Err(format!("o{} keeps a Frame that nobody takes", n.0));
        }
        let open = (node.accepted.keys()).any(|l| l.client != n)
            || node.frames.iter().any(|f| f.0.is_some());
        if !open && !node.binder.is_idle() {
            return Err(format!("o{} remembers a line that is over", n.0));
        }
        let lost = |f: &(Option<u64>, Option<OsnodeId>)| match f {
            (Some(number), _) => !uses(&Line {
                client: n,
                number: *number,
            }),
            (None, holder) => holder.is_some_and(|h| !s.dead.contains(&h)),
        };
        if node.frames.iter().any(lost) {
            return Err(format!("a Frame of o{} does not come back", n.0));
        }
        Ok(())
    }
}
