//! The stubs that come from a declaration: what a client asks arrives at the server's method and
//! comes back typed; a server answers any words; versions, capabilities and refusals are told apart.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use abi::CapAddr;
use proptest::prelude::*;
use proto::{
    Ask, Call, CallError, Dispatch, Interface, Later, Pass, PeerError, Raw, Refusal, ServiceError,
    Wire, WireError,
};

proto::interface! {
    /// A shelf of labelled things.
    pub interface Shelf = 200, version 3, errors ServiceError;
    messages ShelfRequest, ShelfReply;
    stubs ShelfClient, ShelfServer;
    replies {
        /// Done.
        Done = 0x8001 {};
        /// A thing, lent.
        Lent = 0x8002 {
            /// Place.
            place: u32,
        } blob label copies thing;
        /// A thing, given away.
        Given = 0x8003 {} gives thing;
        /// A thing, if there is one.
        Maybe = 0x8004 {
            /// Whether there is one.
            there: bool,
        } may give thing;
    }
    requests {
        /// Puts one there.
        Put = 1 put {
            /// Place.
            place: u32,
        } blob label gives thing -> Done;
        /// Shows one.
        Show = 2 show {
            /// Of this.
            sign: i32,
        } copies thing -> Done;
        /// Lends one.
        Lend = 3 lend {
            /// Place.
            place: u32,
        } -> Lent;
        /// Takes one.
        Take = 4 take {} => Given;
        /// Takes one, if there is one.
        Try = 5 try_take {} may give instead -> Maybe;
        /// Sweeps; nobody answers.
        Sweep = 6 sweep {
            /// Any word.
            word: u64,
        };
    }
}

/// A capability of the test's own: a number.
type Thing = u32;

/// A shelf with one place.
#[derive(Default)]
struct OnePlace {
    there: RefCell<Option<(Vec<u8>, Thing)>>,
    swept: Cell<u64>,
}

impl<K: Call<Cap = Thing>> ShelfServer<K> for OnePlace {
    async fn put(&self, _: &K, place: u32, label: Vec<u8>, thing: Thing) -> Result<Done, Refusal> {
        if place != 0 {
            let text = format!("there is no place {place}");
            return Err(Refusal::new(ServiceError::BadArgument, text));
        }
        self.there.replace(Some((label, thing)));
        Ok(Done {})
    }
    async fn show(&self, _: &K, sign: i32, thing: Thing) -> Result<Done, Refusal> {
        match (sign < 0, thing) {
            (true, _) => Err(ServiceError::BadArgument.into()),
            _ => Ok(Done {}),
        }
    }
    async fn lend(&self, _: &K, place: u32) -> Result<Lent<CapAddr>, Refusal> {
        let there = self.there.borrow();
        let (label, thing) = there.as_ref().ok_or(ServiceError::NotFound)?;
        let (label, thing) = (label.clone(), CapAddr(*thing));
        Ok(Lent {
            place,
            label,
            thing,
        })
    }
    fn take(&self, call: Later<Given, K>) {
        let there = self.there.take().ok_or(ServiceError::NotFound);
        let given = there.map(|(_, thing)| Given { thing });
        call.answer(given.map_err(Refusal::from));
    }
    async fn try_take(
        &self,
        _: &K,
        instead: Option<Thing>,
    ) -> Result<Maybe<Option<Thing>>, Refusal> {
        let thing = self.there.take().map(|(_, t)| t).or(instead);
        let there = thing.is_some();
        Ok(Maybe { there, thing })
    }
    fn sweep(&self, _: &K, word: u64) {
        self.swept.set(word);
    }
}

/// A request on its way, and where its answer goes.
struct Letter<'a> {
    words: [u64; 6],
    blob: Vec<u8>,
    cap: Option<Thing>,
    answers: &'a RefCell<Vec<Raw<Thing>>>,
}

fn passed(cap: Pass<Thing>) -> Thing {
    match cap {
        Pass::Copy(CapAddr(n)) => n + 1000,
        Pass::Give(n) => n,
    }
}

impl Call for Letter<'_> {
    type Cap = Thing;
    fn words(&self) -> [u64; 6] {
        self.words
    }
    fn take_blob(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.blob)
    }
    fn take_cap(&mut self) -> Option<Thing> {
        self.cap.take()
    }
    fn answer<R: Wire>(&self, reply: &R, blob: &[u8], cap: Option<Pass<Thing>>) -> bool {
        self.answers.borrow_mut().push(Raw {
            words: reply.to_words((self.words[0] >> 32) as u32),
            blob: blob.to_vec(),
            cap: cap.map(passed),
        });
        true
    }
}

/// Carries each request to the shelf at once.
struct Direct<'a>(&'a OnePlace, Option<PeerError>);

impl Ask for Direct<'_> {
    type Cap = Thing;
    async fn ask<Q: Wire>(
        &self,
        request: &Q,
        blob: &[u8],
        cap: Option<Pass<Thing>>,
    ) -> Result<Raw<Thing>, PeerError> {
        if let Some(lost) = self.1 {
            return Err(lost);
        }
        let answers = RefCell::default();
        let letter = Letter {
            words: request.to_words(7),
            blob: blob.to_vec(),
            cap: cap.map(passed),
            answers: &answers,
        };
        Shelf::dispatch(self.0, letter).await;
        let answer = answers.borrow_mut().pop();
        answer.ok_or(PeerError::TimedOut)
    }
    fn tell<Q: Wire>(&self, m: &Q, _: &[u8], _: Option<Pass<Thing>>) -> Result<(), PeerError> {
        let answers = RefCell::default();
        let letter = Letter {
            words: m.to_words(0),
            blob: Vec::new(),
            cap: None,
            answers: &answers,
        };
        now(Shelf::dispatch(self.0, letter));
        assert!(answers.borrow().is_empty());
        Ok(())
    }
}

/// Runs a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn calls_arrive_and_answers_come_back() {
    let shelf = OnePlace::default();
    let client = Shelf::client(Direct(&shelf, None));
    assert_eq!(now(client.put(0, b"cup", 5)), Ok(Done {}));
    let lent = now(client.lend(9)).unwrap();
    let label = b"cup".to_vec();
    assert_eq!(
        lent,
        Lent {
            place: 9,
            label,
            thing: 1005
        },
        "a copy is lent"
    );
    assert_eq!(now(client.take()), Ok(Given { thing: 5 }));
    let empty = Maybe {
        there: false,
        thing: None,
    };
    assert_eq!(now(client.try_take(None)), Ok(empty));
    assert_eq!(now(client.try_take(Some(8))).unwrap().thing, Some(8));
    assert_eq!(now(client.show(1, CapAddr(3))), Ok(Done {}));
    assert_eq!(client.sweep(77), Ok(()));
    assert_eq!(shelf.swept.get(), 77);
}

#[test]
fn refusals_and_lost_peers_are_told_apart() {
    let shelf = OnePlace::default();
    let client = Shelf::client(Direct(&shelf, None));
    let refused = now(client.put(4, b"", 5)).unwrap_err();
    assert_eq!(refused.to_string(), "there is no place 4");
    let refused = now(client.lend(0)).unwrap_err();
    assert_eq!(refused, CallError::Refused(ServiceError::NotFound.into()));
    assert_eq!(refused.to_string(), "nothing has this name");
    let lost = Shelf::client(Direct(&shelf, Some(PeerError::Gone)));
    assert_eq!(now(lost.lend(0)), Err(CallError::Peer(PeerError::Gone)));
}

/// What the shelf answers to these words.
fn answers(words: [u64; 6], cap: Option<Thing>) -> Vec<Raw<Thing>> {
    let answers = RefCell::default();
    let letter = Letter {
        words,
        blob: vec![1],
        cap,
        answers: &answers,
    };
    now(Shelf::dispatch(&OnePlace::default(), letter));
    answers.into_inner()
}

fn refusal(words: [u64; 6], cap: Option<Thing>) -> ServiceError {
    let all = answers(words, cap);
    match ShelfReply::from_words(all[0].words) {
        Ok((7, ShelfReply::Refused { error })) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_as_declared_is_refused() {
    let put = ShelfRequest::Put { place: 0 }.to_words(7);
    assert_eq!(refusal(put, None), ServiceError::NoCapability);
    let mut words = put;
    words[1] = 1 << 32;
    assert_eq!(refusal(words, Some(1)), ServiceError::BadMessage);
    words = put;
    words[0] += 1;
    assert_eq!(refusal(words, Some(1)), ServiceError::OtherVersion);
    words = put;
    words[0] += 1 << 8;
    assert_eq!(refusal(words, Some(1)), ServiceError::NoInterface);
    words = put;
    words[0] += 100 << 16;
    assert_eq!(refusal(words, Some(1)), ServiceError::BadOperation);
}

proto::interface! {
    /// Turns.
    pub interface Turns = 201, version 1, errors ServiceError;
    messages TurnsRequest, TurnsReply;
    stubs TurnsClient, TurnsServer;
    replies {
        /// It is the asker's turn.
        Turn = 0x8001 {
            /// After so many others.
            after: u64,
        } gives thing;
    }
    requests {
        /// Waits for one's turn.
        Wait = 1 wait {
            /// Who asks.
            who: u64,
        } gives thing => Turn;
        /// The next one's turn.
        Next = 2 next {};
    }
}

/// Who waits, and how many waited before.
#[derive(Default)]
struct Queue<'a> {
    waiting: RefCell<VecDeque<(Later<Turn, Letter<'a>>, Thing)>>,
    served: Cell<u64>,
}

impl<'a> TurnsServer<Letter<'a>> for Queue<'a> {
    fn wait(&self, call: Later<Turn, Letter<'a>>, who: u64, thing: Thing) {
        match who {
            0 => assert!(call.answer(Err(ServiceError::BadArgument.into()))),
            _ => self.waiting.borrow_mut().push_back((call, thing)),
        }
    }
    fn next(&self, _: &Letter<'a>) {
        if let Some((call, thing)) = self.waiting.borrow_mut().pop_front() {
            let after = self.served.get();
            self.served.set(after + 1);
            assert!(call.answer(Ok(Turn { after, thing })));
        }
    }
}

#[test]
fn a_request_is_answered_later_in_its_own_words() {
    let answers = RefCell::default();
    let queue = Queue::default();
    let ask = |words: [u64; 6], cap| {
        let letter = Letter {
            words,
            blob: Vec::new(),
            cap,
            answers: &answers,
        };
        assert!(Turns::notice(&queue, letter).is_none(), "taken at once");
    };
    let tags = || -> Vec<u64> { answers.borrow().iter().map(|a| a.words[0] >> 32).collect() };
    ask(TurnsRequest::Wait { who: 1 }.to_words(5), Some(50));
    ask(TurnsRequest::Wait { who: 2 }.to_words(6), Some(60));
    assert_eq!(tags(), [], "both wait");
    ask(TurnsRequest::Wait { who: 0 }.to_words(7), Some(70));
    ask(TurnsRequest::Wait { who: 3 }.to_words(8), None);
    assert_eq!(
        tags(),
        [7, 8],
        "refused by the service, and without its capability"
    );
    ask(TurnsRequest::Next {}.to_words(0), None);
    ask(TurnsRequest::Next {}.to_words(0), None);
    assert_eq!(tags(), [7, 8, 5, 6]);
    let replies = answers.borrow();
    let read = |n: usize| TurnsReply::from_words(replies[n].words).unwrap().1;
    let error = ServiceError::NoCapability;
    assert_eq!(read(1), TurnsReply::Refused { error });
    assert_eq!(read(3), TurnsReply::Turn { after: 1 });
    assert_eq!(replies[3].cap, Some(60));
}

#[test]
fn an_answer_of_another_kind_is_no_answer() {
    use proto::stub::Answered;
    let got = Done::got::<Thing>(ShelfReply::Given {}, Vec::new(), None);
    assert_eq!(got, Err(WireError::UnknownOp));
    let got = Given::got::<Thing>(ShelfReply::Given {}, Vec::new(), None);
    assert_eq!(got, Err(WireError::NoCapability));
}

#[test]
fn the_declaration_says_which_interface_it_is() {
    assert_eq!(Shelf::ID.to_string(), "version 3 of interface Shelf");
    assert_eq!((Shelf::ID.number, ShelfRequest::INTERFACE), (200, 200));
    assert_eq!((ShelfRequest::VERSION, ShelfReply::VERSION), (3, 3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Whatever comes, exactly one answer goes, which the client's side can read.
    #[test]
    fn any_words_are_answered(words: [u64; 6], near: bool, op in 0u16..9, cap: Option<u16>) {
        let mut words = words;
        if near {
            words[0] = ShelfRequest::Take {}.to_words(7)[0] & !0xffff_0000 | u64::from(op) << 16;
        }
        let sweep = matches!(ShelfRequest::from_words(words), Ok((_, ShelfRequest::Sweep { .. })));
        let all = answers(words, cap.map(u32::from));
        prop_assert_eq!(all.len(), usize::from(!sweep));
        for answer in all {
            prop_assert!(ShelfReply::from_words(answer.words).is_ok());
        }
    }
}
