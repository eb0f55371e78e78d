//! What no machine says, or says twice: nothing comes of it. Without the rule, something does.

use super::*;

/// All rules but one.
#[derive(Clone, Copy)]
struct Without(Rule);

impl Rules for Without {
    fn hold(&self, rule: Rule) -> bool {
        self.0 != rule
    }
}

/// An owner whose memory two others hold.
struct Owner<R> {
    agent: Agent<R>,
    caps: Caps,
}

impl<R: Rules> Owner<R> {
    fn new(rules: R) -> Owner<R> {
        let mut agent = Agent::new(ME, &[YOU, THIRD], rules);
        let mut caps = Caps::default();
        caps.0.insert(whole(), ME);
        agent.enter(whole(), YOU);
        agent.enter(whole(), THIRD);
        Owner { agent, caps }
    }
    fn hears(&mut self, from: OsnodeId, message: Message) -> Vec<Output> {
        let input = Input::Message { from, message };
        self.agent.step(0, input, &mut self.caps)
    }
    fn asks(&mut self, number: u64, request: Request) -> Vec<Output> {
        let input = Input::Client {
            op: op(number),
            request,
            deadline: 10,
        };
        self.agent.step(0, input, &mut self.caps)
    }
}

/// What comes of what was not asked for.
fn unasked<R: Rules>(rule: Rule, rules: R) -> Vec<Output> {
    let mut owner = Owner::new(rules);
    let revoke = Request::Revoke { object: whole() };
    let marked = |outcome| Message::Marked { op: op(0), outcome };
    match rule {
        Rule::AskOnce => {
            owner.caps.0.insert(whole(), YOU);
            owner.asks(0, revoke);
            owner.asks(0, revoke)
        }
        Rule::CopyTakenAwaited => {
            owner.asks(0, revoke);
            let taken = Message::Taken {
                op: op(0),
                object: whole(),
                outcome: Ok(()),
                holds: true,
            };
            owner.hears(YOU, taken)
        }
        Rule::DropOfHolder => {
            owner.caps.0.clear();
            owner.hears(YOU, Message::Dropped { object: whole() });
            owner.hears(THIRD, Message::Dropped { object: whole() });
            owner.hears(YOU, Message::Dropped { object: whole() })
        }
        Rule::RevokeMarkedAwaited => {
            owner.asks(0, revoke);
            owner.hears(YOU, marked(Ok(())));
            owner.hears(THIRD, marked(Ok(())));
            owner.hears(THIRD, marked(Err(Refusal::StillInUse)))
        }
        Rule::TransferAdoptedAwaited => {
            let (object, to) = (whole(), YOU);
            owner.asks(0, Request::Transfer { object, to });
            let outcome = Ok(());
            owner.hears(YOU, Message::Adopted { op: op(0), outcome })
        }
        other => panic!("nothing unasked for {other:?}"),
    }
}

#[test]
fn nothing_comes_of_what_was_not_asked_for() {
    for rule in Rule::BAD_INPUT {
        assert_eq!(unasked(*rule, Shipped), [], "{rule:?}");
        assert_ne!(unasked(*rule, Without(*rule)), [], "{rule:?} is not needed");
    }
}
