//! The person's terminal during an interactive run: every key goes to the guest, except
//! Ctrl-A, which begins a command to us.

use crate::qemu::Output;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr,
};
use std::io::{Read, Write, stdin};
use std::process::ChildStdin;
use std::sync::mpsc::Sender;

const CTRL_A: u8 = 1;

/// Takes the terminal's own line editing, echo and signals away until dropped.
pub struct Raw {
    before: Option<Termios>,
}

impl Raw {
    /// Does nothing if standard input is not a terminal.
    pub fn enter() -> Self {
        let mut before = None;
        if isatty(stdin())
            && let Ok(termios) = tcgetattr(stdin())
        {
            let mut raw = termios.clone();
            raw.local_modes -=
                LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
            raw.input_modes -= InputModes::IXON | InputModes::ICRNL;
            if tcsetattr(stdin(), OptionalActions::Now, &raw).is_ok() {
                before = Some(termios);
            }
        }
        Self { before }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // Nothing else can be done if the terminal is gone.
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}

/// What the next key means.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    /// Goes to the guest.
    Send(u8),
    Leave,
    Help,
    /// Begins a command, or is none.
    Nothing,
}

/// Tells keys for the guest from commands to us.
#[derive(Default)]
struct Keys {
    after_ctrl_a: bool,
}

impl Keys {
    fn next(&mut self, byte: u8) -> Key {
        if std::mem::take(&mut self.after_ctrl_a) {
            match byte {
                b'x' | b'X' => Key::Leave,
                CTRL_A => Key::Send(CTRL_A),
                b'h' | b'H' | b'?' => Key::Help,
                _ => Key::Nothing,
            }
        } else if byte == CTRL_A {
            self.after_ctrl_a = true;
            Key::Nothing
        } else {
            Key::Send(byte)
        }
    }
}

/// What is typed at the end of input that is no terminal: the machine halts once it has done what was typed before.
const END: &[u8] = b"\rhalt\r";

/// Carries keys to the guest's console from a thread of its own, until the person leaves
/// (which `events` is told), or until input or guest end.
pub fn carry_keys(mut guest: ChildStdin, events: Sender<Output>) {
    std::thread::spawn(move || {
        let file = !isatty(stdin());
        let mut keys = Keys::default();
        let mut buffer = [0u8; 256];
        while let Ok(length @ 1..) = stdin().lock().read(&mut buffer) {
            let mut forward = Vec::new();
            for byte in &buffer[..length] {
                match keys.next(*byte) {
                    Key::Send(byte) => forward.push(byte),
                    Key::Leave => {
                        // Nobody listens if the machine has ended already.
                        let _ = events.send(Output::Leave);
                        return;
                    }
                    Key::Help => eprintln!("\r\nCtrl-A X leaves, Ctrl-A Ctrl-A sends Ctrl-A\r"),
                    Key::Nothing => {}
                }
            }
            if guest
                .write_all(&forward)
                .and_then(|()| guest.flush())
                .is_err()
            {
                return;
            }
        }
        if file {
            // Whether the guest is still there, its own end tells.
            let _ = guest.write_all(END).and_then(|()| guest.flush());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        let all = bytes.iter().map(|byte| keys.next(*byte));
        all.filter(|key| *key != Key::Nothing).collect()
    }

    #[test]
    fn ctrl_a_x_leaves_and_doubles_are_sent() {
        assert_eq!(
            typed(b"a\x01xb"),
            [Key::Send(b'a'), Key::Leave, Key::Send(b'b')]
        );
        assert_eq!(typed(b"\x01\x01x"), [Key::Send(1), Key::Send(b'x')]);
        assert_eq!(typed(b"\x01q\x03"), [Key::Send(3)]);
        assert_eq!(typed(b"\x01h"), [Key::Help]);
    }
}
