//! The declaration of messages, from which their encoder and decoder come.

/// Declares the messages of one direction of an interface: an enum that is
/// [`Wire`](crate::Wire). A version other than 1, and the interface's name, stand in
/// parentheses after its number: `: 77 (Counter 2)`. Stubs come from [`interface!`](crate::interface); this alone is
/// for messages of the channel itself, and for programs that send what no stub sends.
///
/// ```
/// proto::messages! {
///     /// Requests of a counter.
///     pub enum CounterRequest: 77 {
///         /// Adds.
///         Add = 1 {
///             /// How much.
///             amount: u64,
///         },
///         /// Asks.
///         Read = 2 {},
///     }
/// }
/// use proto::Wire;
/// let words = CounterRequest::Add { amount: 5 }.to_words(9);
/// assert_eq!(CounterRequest::from_words(words), Ok((9, CounterRequest::Add { amount: 5 })));
/// ```
#[macro_export]
macro_rules! messages {
    ($(#[$m:meta])* pub enum $name:ident: $iface:literal $(($named:ident $version:literal))? {
        $($(#[$vm:meta])* $v:ident = $n:literal { $($(#[$fm:meta])* $f:ident: $t:ty,)* },)*
    }) => {
        $(#[$m])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $($(#[$vm])* $v { $($(#[$fm])* $f: $t,)* },)* }

        $(const _: () = {
            let words = [0usize $(, <$t as $crate::wire::Field>::WORDS)*];
            assert!($crate::wire::sum(&words) <= $crate::wire::FIELD_WORDS,
                "a message has more than five words of fields");
        };)*

        const _: () = assert!($crate::wire::distinct(&[$($n),*]),
            "two messages have the same number");

        impl $crate::Wire for $name {
            const INTERFACE: u8 = $iface;
            const VERSION: u8 = $crate::wire::version(&[$($version)?]);
            const NAME: &'static str =
                $crate::wire::name(concat!($(stringify!($named))?), stringify!($name));
            const OPS: &'static [u16] = &[$($n),*];
            fn encode(&self) -> (u16, [u64; $crate::wire::FIELD_WORDS]) {
                #[allow(unused_mut)]
                let mut w = $crate::wire::Writer::default();
                match self {
                    $($name::$v { $($f),* } => {
                        $($crate::wire::Field::put($f, &mut w);)*
                        ($n, w.finish())
                    })*
                }
            }
            fn decode(op: u16, fields: [u64; $crate::wire::FIELD_WORDS])
                -> Result<Self, $crate::WireError>
            {
                #[allow(unused_mut, unused_variables)]
                let mut r = $crate::wire::Reader::new(fields);
                match op {
                    $($n => Ok($name::$v { $($f: $crate::wire::Field::get(&mut r)?),* }),)*
                    _ => Err($crate::WireError::UnknownOp),
                }
            }
        }
    };
}
