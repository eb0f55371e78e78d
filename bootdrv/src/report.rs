//! What a core left behind: epitaph and log.

use alloc::string::String;
use alloc::vec::Vec;

use capfmt::{Core, EPITAPH_TEXT_BYTES};
use rt::{CapAddr, SysError, invoke};

use crate::cores::{EPITAPH_LEN, EPITAPH_TEXT, LOG_TEXT, LOG_WRITTEN, PROCESSOR, word};

/// Bytes of the log ring.
const RING: u64 = 4032;

fn bytes(control: CapAddr, at: u64, len: u64) -> Result<Vec<u8>, SysError> {
    let mut out = Vec::new();
    while (out.len() as u64) < len {
        let words = invoke::core_read(control, at + out.len() as u64)?;
        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
    out.truncate(len as usize);
    Ok(out)
}

/// The epitaph's text.
///
/// # Errors
/// Any of `Op::CoreRead`.
pub fn epitaph(control: CapAddr) -> Result<String, SysError> {
    let len = word(control, EPITAPH_LEN)?.min(EPITAPH_TEXT_BYTES);
    let text = bytes(control, EPITAPH_TEXT, len)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What stands in the log ring, oldest first.
///
/// # Errors
/// Any of `Op::CoreRead`.
pub fn log(control: CapAddr) -> Result<String, SysError> {
    const { assert!(RING + 0x1040 <= Core::PEN_CODE) };
    let written = word(control, LOG_WRITTEN)?;
    let mut text = bytes(control, LOG_TEXT, RING)?;
    if written <= RING {
        text.truncate(written as usize);
    } else {
        text.rotate_left((written % RING) as usize);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What a core's processor says of itself: the words of its object as bytes.
///
/// # Errors
/// Any of `Op::CoreRead`.
pub fn processor(control: CapAddr) -> Result<Vec<u8>, SysError> {
    bytes(control, PROCESSOR, 64)
}
