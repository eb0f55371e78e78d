//! Values of one kind, one behind the other, as a blob.

use alloc::vec::Vec;

use crate::WireError;
use crate::wire::{FIELD_WORDS, Field, Reader, Writer};

/// The words of each value, little-endian.
#[must_use]
pub fn write<T: Field>(values: &[T]) -> Vec<u8> {
    let mut blob = Vec::new();
    for value in values {
        let mut w = Writer::default();
        value.put(&mut w);
        let words = w.finish();
        blob.extend(words[..T::WORDS].iter().flat_map(|w| w.to_le_bytes()));
    }
    blob
}

/// Reads such a blob.
///
/// # Errors
/// [`WireError::BadBlob`] when its end is no whole value; [`WireError::BadField`].
pub fn read<T: Field>(blob: &[u8]) -> Result<Vec<T>, WireError> {
    const { assert!(0 < T::WORDS && T::WORDS <= FIELD_WORDS) };
    let (words, rest) = blob.as_chunks::<8>();
    if !rest.is_empty() || !words.len().is_multiple_of(T::WORDS) {
        return Err(WireError::BadBlob);
    }
    let value = |some: &[[u8; 8]]| {
        let mut all = [0; FIELD_WORDS];
        for (word, bytes) in all.iter_mut().zip(some) {
            *word = u64::from_le_bytes(*bytes);
        }
        T::get(&mut Reader::new(all))
    };
    words.chunks(T::WORDS).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let values = [(1u64, 2u32), (u64::MAX, 0)];
        let blob = write(&values);
        assert_eq!(blob.len(), 32);
        assert_eq!(read(&blob), Ok(values.to_vec()));
        assert_eq!(read::<(u64, u32)>(&[]), Ok(Vec::new()));
    }

    #[test]
    fn what_nobody_wrote_is_refused() {
        let blob = write(&[(1u64, u64::MAX)]);
        assert_eq!(read::<(u64, u32)>(&blob), Err(WireError::BadField));
        assert_eq!(read::<(u64, u64)>(&blob[1..]), Err(WireError::BadBlob));
        assert_eq!(read::<(u64, u64)>(&blob[..8]), Err(WireError::BadBlob));
    }
}
