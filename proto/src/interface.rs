//! The interface language: one declaration, from which the messages and both ends' stubs come.

/// Declares an interface.
///
/// Replies first, then requests. After the fields of either stands what goes along: `blob NAME`
/// (bytes), `copies NAME` (a capability that the sender keeps), `gives NAME` (one that it gives
/// away), `may give NAME`. `-> REPLY` names a request's reply. `=> REPLY` does, too, but the server's
/// method is a plain function that gets the request itself ([`Later`](crate::Later)), to answer it now
/// or some time. With neither, nobody answers: a *notice*, whose methods are plain functions. Plain
/// functions are called in the order in which the messages came. Any request may be refused with
/// the interface's error and a text for people.
///
/// Out come the messages (two enums that are [`Wire`](crate::Wire)), a struct for each reply, the
/// client's stub (an async method for each request, whose result says when the peer is
/// lost: [`CallError`](crate::CallError)), the server's trait (a method for each request), and
/// a type that stands for the interface: [`Interface`](crate::Interface), [`Dispatch`](crate::Dispatch).
///
/// ```
/// use proto::{CallError, Refusal, ServiceError};
///
/// proto::interface! {
///     /// A till.
///     pub interface Till = 77, version 1, errors ServiceError;
///     messages TillRequest, TillReply;
///     stubs TillClient, TillServer;
///     replies {
///         /// What is in it now.
///         Balance = 0x8001 {
///             /// Coins.
///             coins: u64,
///         };
///     }
///     requests {
///         /// Puts coins in; the blob says who did.
///         Put = 1 put {
///             /// How many.
///             coins: u64,
///         } blob who -> Balance;
///         /// Takes coins out.
///         Take = 2 take {
///             /// How many.
///             coins: u64,
///         } -> Balance;
///     }
/// }
///
/// struct Box(std::cell::Cell<u64>);
///
/// impl<K: proto::Call> TillServer<K> for Box {
///     async fn put(&self, _: &K, coins: u64, _who: Vec<u8>) -> Result<Balance, Refusal> {
///         let coins = self.0.get().checked_add(coins).ok_or(ServiceError::BadArgument)?;
///         self.0.set(coins);
///         Ok(Balance { coins })
///     }
///     async fn take(&self, _: &K, coins: u64) -> Result<Balance, Refusal> {
///         let Some(left) = self.0.get().checked_sub(coins) else {
///             return Err(Refusal::new(ServiceError::OutOfMemory, "the till has fewer coins"));
///         };
///         self.0.set(left);
///         Ok(Balance { coins: left })
///     }
/// }
///
/// async fn client<C: proto::Ask>(till: &TillClient<C>) -> Result<u64, CallError> {
///     till.put(5, b"me").await?;
///     Ok(till.take(3).await?.coins)
/// }
/// ```
///
/// Two messages with the same number do not compile:
///
/// ```compile_fail,E0080
/// proto::interface! {
///     /// A till.
///     pub interface Till = 77, version 1, errors proto::ServiceError;
///     messages TillRequest, TillReply;
///     stubs TillClient, TillServer;
///     replies {
///         /// Done.
///         Done = 0x8001 {};
///     }
///     requests {
///         /// Opens it.
///         Open = 1 open {} -> Done;
///         /// Shuts it.
///         Shut = 1 shut {} -> Done;
///     }
/// }
/// ```
#[macro_export]
macro_rules! interface {
    (
        $(#[$im:meta])*
        pub interface $marker:ident = $number:literal, version $version:literal, errors $error:ty;
        messages $request:ident, $reply:ident;
        stubs $client:ident, $server:ident;
        replies { $(
            $(#[$rm:meta])*
            $rv:ident = $rn:literal { $($(#[$rfm:meta])* $rf:ident: $rt:ty,)* }
            $(blob $rb:ident)? $(copies $rc:ident)? $(gives $rg:ident)? $(may give $ro:ident)?;
        )* }
        requests { $(
            $(#[$qm:meta])*
            $qv:ident = $qn:literal $method:ident { $($(#[$qfm:meta])* $qf:ident: $qt:ty,)* }
            $(blob $qb:ident)? $(copies $qc:ident)? $(gives $qg:ident)? $(may give $qo:ident)?
            $(-> $answer:ident)? $(=> $later:ident)?;
        )* }
    ) => {
        $(#[$im])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $marker;

        const _: () = assert!(
            $crate::wire::distinct(&[$($qn,)* $($rn,)* 0x80ff]),
            "two messages of an interface have the same number"
        );

        $crate::messages! {
            #[doc = concat!("Requests of [`", stringify!($marker), "`].")]
            pub enum $request: $number ($marker $version) {
                $($(#[$qm])* $qv = $qn { $($(#[$qfm])* $qf: $qt,)* },)*
            }
        }
        $crate::messages! {
            #[doc = concat!("Replies of [`", stringify!($marker), "`].")]
            pub enum $reply: $number ($marker $version) {
                $($(#[$rm])* $rv = $rn { $($(#[$rfm])* $rf: $rt,)* },)*
                /// Refused. Blob: for people.
                Refused = 0x80ff {
                    /// Why.
                    error: $error,
                },
            }
        }
        impl $crate::stub::Replies for $reply {
            type Error = $error;
            fn refused(error: $error) -> Self {
                $reply::Refused { error }
            }
            fn refusal(&self) -> Option<$error> {
                match *self {
                    $reply::Refused { error } => Some(error),
                    #[allow(unreachable_patterns)]
                    _ => None,
                }
            }
        }
        $($crate::__reply! {
            $reply [$(#[$rm])*] $rv { $($(#[$rfm])* $rf: $rt,)* } [$($rb)?]
            [$(Copies $rc)? $(Gives $rg)? $(MayGive $ro)?]
        })*

        impl $crate::Interface for $marker {
            const ID: $crate::InterfaceId = $crate::InterfaceId {
                number: $number,
                version: $version,
                name: stringify!($marker),
            };
            const REQUESTS: &'static [$crate::stub::Operation] = &[$($crate::stub::Operation {
                name: stringify!($qv),
                number: $qn,
                members: &[$($crate::stub::Member {
                    name: stringify!($qf),
                    words: <$qt as $crate::wire::Field>::WORDS,
                    largest: <$qt as $crate::wire::Field>::largest,
                }),*],
                blob: $crate::stub::some(&[$(stringify!($qb))?]),
                cap: $crate::stub::some(&[
                    $(stringify!($qc),)? $(stringify!($qg),)? $(stringify!($qo))?
                ]),
                answering: $crate::stub::answering(
                    &[$(stringify!($answer))?],
                    &[$(stringify!($later))?],
                ),
            }),*];
            type Client<C: $crate::Ask> = $client<C>;
            fn client<C: $crate::Ask>(carrier: C) -> $client<C> {
                $client(carrier)
            }
        }

        #[doc = concat!("A client's stub of [`", stringify!($marker), "`] over a carrier.")]
        #[derive(Clone, Debug)]
        pub struct $client<C>(pub C);

        #[allow(clippy::too_many_arguments)]
        impl<C: $crate::Ask> $client<C> {
            $(
                $(#[$qm])*
                ///
                /// # Errors
                /// The peer is lost, or refuses.
                pub fn $method(&self $(, $qf: $qt)* $(, $qb: &[u8])?
                    $(, $qc: $crate::__said!(Copies C))? $(, $qg: $crate::__said!(Gives C))?
                    $(, $qo: $crate::__said!(MayGive C))?)
                    -> $crate::__outcome!(C [$($answer)? $($later)?])
                {
                    let request = $request::$qv { $($qf),* };
                    #[allow(unused_variables)]
                    let (blob, cap): (&[u8], Option<$crate::Pass<C::Cap>>) = (&[], None);
                    $(let blob: &[u8] = $qb;)?
                    $(let cap = $crate::__pass!(Copies C $qc);)?
                    $(let cap = $crate::__pass!(Gives C $qg);)?
                    $(let cap = $crate::__pass!(MayGive C $qo);)?
                    $crate::__ask!([$($answer)? $($later)?] self, request, blob, cap)
                }
            )*
        }

        #[doc = concat!("A service that answers [`", stringify!($marker), "`].")]
        #[allow(clippy::too_many_arguments)]
        pub trait $server<K: $crate::Call> {
            $(
                $(#[$qm])*
                fn $method(&self, call: $crate::__call!(K [$($later)?]) $(, $qf: $qt)* $(, $qb: $crate::stub::Vec<u8>)?
                    $(, $qc: $crate::__got!(Copies K))? $(, $qg: $crate::__got!(Gives K))?
                    $(, $qo: $crate::__got!(MayGive K))?)
                    -> $crate::__answer!(K [$($answer)?]);
            )*
        }

        impl<S: $server<K>, K: $crate::Call> $crate::Dispatch<S, K> for $marker {
            #[allow(unused_variables, unused_mut)]
            fn notice(service: &S, mut call: K) -> Option<K> {
                const PLAIN: &[u16] = &[$($crate::__plain_number!([$($answer)?] $qn)),*];
                if !PLAIN.contains(&$crate::Header::unpack(call.words()[0]).op) {
                    return Some(call);
                }
                let Ok(request) = $crate::stub::decoded::<$request>(call.words()) else {
                    return Some(call);
                };
                match request {
                    $($request::$qv { $($qf),* } => {
                        $crate::__plain!([$($answer)?] [$($later)?] $server $reply K service call $method [$($qf)*]
                            [$($qb)?] [$(Copies $qc)? $(Gives $qg)? $(MayGive $qo)?])
                    })*
                }
            }
            async fn dispatch(service: &S, call: K) {
                let Some(mut call) = Self::notice(service, call) else { return };
                let opened = $crate::stub::open::<$request, $reply, K>(&mut call);
                #[allow(unused_variables)]
                let Some((request, blob, cap)) = opened else { return };
                match request {
                    $(#[allow(unused_variables)]
                    $request::$qv { $($qf),* } => {
                        $crate::__serve!([$($answer)?] $server $reply K service call blob cap $method
                            [$($qf)*] [$($qb)?] [$(Copies $qc)? $(Gives $qg)? $(MayGive $qo)?])
                    })*
                }
            }
        }
    };
}

/// A reply's struct.
#[doc(hidden)]
#[macro_export]
macro_rules! __reply {
    ($reply:ident [$(#[$m:meta])*] $v:ident { $($(#[$fm:meta])* $f:ident: $t:ty,)* } [$($b:ident)?] []) => {
        $(#[$m])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $v {
            $($(#[$fm])* pub $f: $t,)*
            $(/// Bytes that go along.
            pub $b: $crate::stub::Vec<u8>,)?
        }
        impl $crate::stub::Answered for $v {
            type Reply = $reply;
            type Got<K> = $v;
            type Said<K> = $v;
            #[allow(unused_variables)]
            fn got<K>(reply: $reply, blob: $crate::stub::Vec<u8>, cap: Option<K>)
                -> Result<$v, $crate::WireError>
            {
                match reply {
                    $reply::$v { $($f),* } => Ok($v { $($f,)* $($b: blob,)? }),
                    _ => Err($crate::WireError::UnknownOp),
                }
            }
            fn said<K>(said: $v) -> $crate::stub::Parts<$reply, K> {
                let $v { $($f,)* $($b,)? } = said;
                #[allow(unused_mut, unused_assignments)]
                let mut blob = $crate::stub::Vec::new();
                $(blob = $b;)?
                $crate::stub::Parts { message: $reply::$v { $($f),* }, blob, cap: None }
            }
        }
    };
    ($reply:ident [$(#[$m:meta])*] $v:ident { $($(#[$fm:meta])* $f:ident: $t:ty,)* } [$($b:ident)?]
        [$mode:ident $c:ident]) => {
        $(#[$m])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $v<C = ()> {
            $($(#[$fm])* pub $f: $t,)*
            $(/// Bytes that go along.
            pub $b: $crate::stub::Vec<u8>,)?
            /// The capability that goes along.
            pub $c: C,
        }
        impl $crate::stub::Answered for $v {
            type Reply = $reply;
            type Got<K> = $v<<$crate::stub::$mode as $crate::stub::CapMode>::Got<K>>;
            type Said<K> = $v<<$crate::stub::$mode as $crate::stub::CapMode>::Said<K>>;
            #[allow(unused_variables)]
            fn got<K>(reply: $reply, blob: $crate::stub::Vec<u8>, cap: Option<K>)
                -> Result<Self::Got<K>, $crate::WireError>
            {
                match reply {
                    $reply::$v { $($f),* } => Ok($v {
                        $($f,)*
                        $($b: blob,)?
                        $c: <$crate::stub::$mode as $crate::stub::CapMode>::got::<K>(cap)?,
                    }),
                    _ => Err($crate::WireError::UnknownOp),
                }
            }
            fn said<K>(said: Self::Said<K>) -> $crate::stub::Parts<$reply, K> {
                let $v { $($f,)* $($b,)? $c } = said;
                #[allow(unused_mut, unused_assignments)]
                let mut blob = $crate::stub::Vec::new();
                $(blob = $b;)?
                let cap = <$crate::stub::$mode as $crate::stub::CapMode>::said::<K>($c);
                $crate::stub::Parts { message: $reply::$v { $($f),* }, blob, cap }
            }
        }
    };
}

/// Type of a request's capability at the client.
#[doc(hidden)]
#[macro_export]
macro_rules! __said {
    ($mode:ident $c:ident) => {
        <$crate::stub::$mode as $crate::stub::CapMode>::Said<<$c as $crate::Ask>::Cap>
    };
}

/// Type of a request's capability at the server.
#[doc(hidden)]
#[macro_export]
macro_rules! __got {
    ($mode:ident $k:ident) => {
        <$crate::stub::$mode as $crate::stub::CapMode>::Got<<$k as $crate::Call>::Cap>
    };
}

/// A request's capability on its way.
#[doc(hidden)]
#[macro_export]
macro_rules! __pass {
    ($mode:ident $c:ident $cap:ident) => {
        <$crate::stub::$mode as $crate::stub::CapMode>::said::<<$c as $crate::Ask>::Cap>($cap)
    };
}

/// Number of a request whose method is a plain function; that of no request for others.
#[doc(hidden)]
#[macro_export]
macro_rules! __plain_number {
    ([] $n:literal) => {
        $n
    };
    ([$answer:ident] $n:literal) => {
        u16::MAX
    };
}

/// How a server's method gets the request.
#[doc(hidden)]
#[macro_export]
macro_rules! __call {
    ($k:ident []) => { &$k };
    ($k:ident [$later:ident]) => { $crate::Later<$later, $k> };
}

/// A request whose method is a plain function, served: a notice, or one that is answered later. `None` then.
#[doc(hidden)]
#[macro_export]
macro_rules! __plain {
    ([] [$($later:ident)?] $server:ident $reply:ident $k:ident $service:ident $call:ident $method:ident
        [$($f:ident)*] [$($b:ident)?] [$($mode:ident $c:ident)?]) => {{
        $(let $b = $call.take_blob();)?
        $(
            let cap = $call.take_cap();
            let $c = match <$crate::stub::$mode as $crate::stub::CapMode>::got::<<$k as $crate::Call>::Cap>(cap) {
                Ok(cap) => cap,
                Err(why) => {
                    $crate::stub::refuse::<$reply, $k>(&$call, why);
                    return None;
                }
            };
        )?
        let call = $crate::__handed!($k $call [$($later)?]);
        $server::$method($service, call $(, $f)* $(, $b)? $(, $c)?);
        None
    }};
    ([$answer:ident] [] $server:ident $reply:ident $k:ident $service:ident $call:ident $($rest:tt)*) => {
        Some($call)
    };
}

/// A request as [`__call`] says.
#[doc(hidden)]
#[macro_export]
macro_rules! __handed {
    ($k:ident $call:ident []) => {
        &$call
    };
    ($k:ident $call:ident [$later:ident]) => {
        $crate::Later::<$later, $k>::new($call)
    };
}

/// A request that is answered, served.
#[doc(hidden)]
#[macro_export]
macro_rules! __serve {
    ([] $($notice:tt)*) => {{}};
    ([$answer:ident] $server:ident $reply:ident $k:ident $service:ident $call:ident $blob:ident $cap:ident
        $method:ident [$($f:ident)*] [$($b:ident)?] [$($mode:ident $c:ident)?]) => {{
        $(let $b = $blob;)?
        $(let $c = match <$crate::stub::$mode as $crate::stub::CapMode>::got::<<$k as $crate::Call>::Cap>($cap) {
            Ok(cap) => cap,
            Err(why) => return $crate::stub::refuse::<$reply, $k>(&$call, why),
        };)?
        let said = $server::$method($service, &$call $(, $f)* $(, $b)? $(, $c)?).await;
        $crate::stub::reply::<$answer, $k>(&$call, said);
    }};
}

/// What a client's method returns.
#[doc(hidden)]
#[macro_export]
macro_rules! __outcome {
    ($c:ident []) => { Result<(), $crate::PeerError> };
    ($c:ident [$answer:ident]) => {
        impl Future<Output = $crate::stub::Outcome<$answer, <$c as $crate::Ask>::Cap>>
    };
}

/// What a server's method returns.
#[doc(hidden)]
#[macro_export]
macro_rules! __answer {
    ($k:ident []) => { () };
    ($k:ident [$answer:ident]) => {
        impl Future<Output = $crate::stub::Said<$answer, <$k as $crate::Call>::Cap>>
    };
}

/// The body of a client's method.
#[doc(hidden)]
#[macro_export]
macro_rules! __ask {
    ([] $self:ident, $request:ident, $blob:ident, $cap:ident) => {
        $crate::Ask::tell(&$self.0, &$request, $blob, $cap)
    };
    ([$answer:ident] $self:ident, $request:ident, $blob:ident, $cap:ident) => {
        async move { $crate::stub::ask::<C, _, $answer>(&$self.0, &$request, $blob, $cap).await }
    };
}
