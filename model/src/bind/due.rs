//! What can happen in a state.

use capfmt::OsnodeId;
use monitor::agree::bind::Line;

use super::Lines;
use super::state::{Client, Event, Offer, State};

impl Lines {
    /// The OSnode whose monitor takes a step.
    pub(super) fn stepper(&self, event: &Event) -> Option<OsnodeId> {
        match event {
            Event::Deliver(_, n, _) | Event::Offered(n, _) | Event::EndTold(n) => Some(*n),
            Event::Ask(place) | Event::Close(place) | Event::ClientEnds(place) => {
                Some(self.clients[*place].0)
            }
            _ => None,
        }
    }

    /// What must happen sooner or later.
    pub(super) fn due(&self, s: &State) -> Vec<Event> {
        let mut events = Vec::new();
        for ((from, to), queue) in s.channels.iter().filter(|(k, _)| s.runs(k.1)) {
            let first = queue.front().cloned();
            events.extend(first.map(|i| Event::Deliver(*from, *to, i)));
        }
        for (n, dead) in s.untold.iter().filter(|(n, _)| s.runs(*n)) {
            if !s.channels.contains_key(&(*dead, *n)) {
                events.push(Event::Gone(*n, *dead));
            }
        }
        for n in s.nodes.keys().filter(|n| s.runs(**n)) {
            Lines::due_of_monitor(s, *n, &mut events);
            self.due_of_service(s, *n, &mut events);
        }
        self.due_of_clients(s, &mut events);
        events.extend(s.stopped.map(|_| Event::Start));
        events.extend(
            s.crashed
                .iter()
                .flat_map(|_| [Event::Recover, Event::Fence]),
        );
        events
    }

    fn due_of_monitor(s: &State, n: OsnodeId, events: &mut Vec<Event>) {
        let node = &s.nodes[&n];
        for (line, offer) in &node.offers {
            match offer {
                Offer::Made(_) if !s.has_programs(n) => {}
                Offer::Made(_) => events.push(Event::Accept(n, *line)),
                _ => events.push(Event::Offered(n, *line)),
            }
        }
        if node.end_untold {
            events.push(Event::EndTold(n));
        }
        for (number, to) in &node.lending {
            if s.dead.contains(to) && !s.untold.contains(&(n, *to)) {
                events.push(Event::LentNot(n, *number));
            }
        }
        if s.unticked.contains(&n) {
            events.push(Event::Tick(n));
        }
    }

    fn due_of_service(&self, s: &State, n: OsnodeId, events: &mut Vec<Event>) {
        if !s.has_programs(n) {
            return;
        }
        let node = &s.nodes[&n];
        let closed = |line: &Line| {
            let mut all = s.clients.iter().zip(&self.clients);
            let of = |(c, (at, _)): (&Client, &(OsnodeId, OsnodeId))| {
                *at == line.client && c.number == Some(line.number) && c.hung_up
            };
            all.any(of)
        };
        for line in node.accepted.keys() {
            if node.told.contains(line) || closed(line) {
                events.push(Event::LetGo(n, *line));
            }
        }
    }

    fn due_of_clients(&self, s: &State, events: &mut Vec<Event>) {
        for (place, client) in s.clients.iter().enumerate() {
            let (n, _) = self.clients[place];
            if !s.has_programs(n) || client.over {
                continue;
            }
            let free = |f: &(Option<u64>, Option<OsnodeId>)| *f == (None, None);
            if client.number.is_none() {
                if s.nodes[&n].frames.iter().any(free) {
                    events.push(Event::Ask(place));
                }
            } else if client.answer == Some(true) && (client.closed || !self.keep) {
                events.push(Event::Close(place));
            }
        }
    }

    /// What may go wrong, besides.
    pub(super) fn faults(&self, s: &State, events: &mut Vec<Event>) {
        if self.faults.crash {
            let steps = events.iter().filter(|e| self.stepper(e).is_some());
            let steps: Vec<Event> = steps.cloned().collect();
            for step in steps {
                events.extend((1..3).map(|sent| Event::Die(Box::new(step.clone()), sent)));
            }
        }
        let living = s.nodes.keys().filter(|n| !s.dead.contains(n));
        for n in living {
            let may = [
                (self.faults.stop, Event::Stop(*n)),
                (self.faults.crash, Event::Crash(*n)),
                (self.faults.service, Event::ServiceEnds(*n)),
            ];
            events.extend(may.into_iter().filter(|m| m.0).map(|m| m.1));
        }
        if self.faults.client {
            let asked = s.clients.iter().enumerate();
            let asked = asked.filter(|(_, c)| c.number.is_some() && !c.over);
            events.extend(asked.map(|(place, _)| Event::ClientEnds(place)));
        }
    }
}
