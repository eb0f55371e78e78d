//! The editor of one input line: keys in, terminal output out.
//!
//! Understands what a VT100-like terminal sends: printable UTF-8, arrows, Home,
//! End, Delete, Backspace, Ctrl-A/B/C/D/E/F/H/K/L/N/P/T/U/W. The whole line is
//! redrawn after a change that is not an append, so that a lost byte heals.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Most lines that the history keeps.
const HISTORY: usize = 100;
/// Most characters of a line.
const MAX_LINE: usize = 1000;

/// What a byte led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Feedback {
    /// Still editing.
    Editing,
    /// Enter: the finished line.
    Line(String),
    /// Enter, but more was typed than a line may have: nothing of it counts.
    TooLong,
    /// Ctrl-C: the line was given up.
    Interrupted,
    /// Ctrl-D on an empty line.
    End,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Begun,
    /// After ESC [ or ESC O, with the number so far.
    Sequence(u32),
}

/// State of the editor.
#[derive(Clone, Debug, Default)]
pub struct Editor {
    prompt: String,
    line: Vec<char>,
    cursor: usize,
    history: Vec<String>,
    /// Position in the history, counted from its end; 0 = the line being written.
    back: usize,
    /// The line being written while older ones are shown.
    draft: Vec<char>,
    escape: Escape,
    utf8: Vec<u8>,
    last_was_return: bool,
    /// Characters found no room in the line: what is left of it is not what was typed.
    cut: bool,
}

impl Editor {
    /// An editor that shows this prompt.
    #[must_use]
    pub fn new(prompt: &str) -> Editor {
        Editor {
            prompt: prompt.into(),
            ..Editor::default()
        }
    }

    /// Shows another prompt from the next line on.
    pub fn set_prompt(&mut self, prompt: &str) {
        self.prompt.clear();
        self.prompt.push_str(prompt);
    }

    /// Begins a line: shows the prompt.
    pub fn start(&mut self, out: &mut String) {
        self.draft.clear();
        self.forget_line();
        self.redraw(out);
    }

    fn forget_line(&mut self) {
        self.line.clear();
        self.cursor = 0;
        self.back = 0;
        self.cut = false;
    }

    /// Shows prompt and line again, after other output.
    pub fn redraw(&self, out: &mut String) {
        out.push('\r');
        out.push_str(&self.prompt);
        out.extend(&self.line);
        out.push_str("\x1b[K");
        let left = self.line.len() - self.cursor;
        if left > 0 {
            // Writing to a String cannot fail.
            let _ = write!(out, "\x1b[{left}D");
        }
    }

    /// Takes one byte from the terminal; what to show is appended to `out`.
    pub fn feed(&mut self, byte: u8, out: &mut String) -> Feedback {
        let after_return = core::mem::replace(&mut self.last_was_return, byte == b'\r');
        if byte == b'\n' && after_return {
            return Feedback::Editing;
        }
        match (self.escape, byte) {
            (_, 0x1b) => self.escape = Escape::Begun,
            (_, ..0x20 | 0x7f) => {
                self.escape = Escape::None;
                return self.control(byte, out);
            }
            (Escape::None, _) => self.text_byte(byte, out),
            (Escape::Begun, b'[' | b'O') => self.escape = Escape::Sequence(0),
            // ESC alone means nothing: the key after it counts.
            (Escape::Begun, _) => {
                self.escape = Escape::None;
                self.text_byte(byte, out);
            }
            (Escape::Sequence(n), b'0'..=b'9') => {
                let n = n.saturating_mul(10).saturating_add(u32::from(byte - b'0'));
                self.escape = Escape::Sequence(n);
            }
            (Escape::Sequence(_), b';') => self.escape = Escape::Sequence(0),
            (Escape::Sequence(n), last) => {
                self.escape = Escape::None;
                self.sequence(n, last, out);
            }
        }
        Feedback::Editing
    }

    fn text_byte(&mut self, byte: u8, out: &mut String) {
        self.utf8.push(byte);
        match core::str::from_utf8(&self.utf8) {
            Ok(s) => {
                let c = s.chars().next();
                self.utf8.clear();
                if self.line.len() >= MAX_LINE {
                    self.cut = true;
                } else if let Some(c) = c {
                    self.insert(c, out);
                }
            }
            Err(e) if e.error_len().is_some() => {
                let had_begun = self.utf8.len() > 1;
                self.utf8.clear();
                // It does not go on what was begun: it begins anew.
                if had_begun {
                    self.text_byte(byte, out);
                }
            }
            Err(_) => {}
        }
    }

    fn insert(&mut self, c: char, out: &mut String) {
        let at_end = self.cursor == self.line.len();
        self.line.insert(self.cursor, c);
        self.cursor += 1;
        if at_end {
            out.push(c);
        } else {
            self.redraw(out);
        }
    }

    fn control(&mut self, byte: u8, out: &mut String) -> Feedback {
        self.utf8.clear();
        match byte {
            b'\r' | b'\n' => return self.enter(out),
            0x03 => {
                out.push_str("^C\r\n");
                self.forget_line();
                return Feedback::Interrupted;
            }
            0x04 if self.line.is_empty() => {
                out.push_str("\r\n");
                return Feedback::End;
            }
            0x04 => self.delete(),
            0x01 => self.cursor = 0,
            0x05 => self.cursor = self.line.len(),
            0x02 => self.cursor = self.cursor.saturating_sub(1),
            0x06 => self.cursor = (self.cursor + 1).min(self.line.len()),
            0x08 | 0x7f => self.backspace(),
            0x0b => self.line.truncate(self.cursor),
            0x0c => out.push_str("\x1b[H\x1b[2J"),
            0x0e => self.newer(),
            0x10 => self.older(),
            0x14 => self.transpose(),
            0x15 => {
                self.line.drain(..self.cursor);
                self.cursor = 0;
            }
            0x17 => self.erase_word(),
            _ => return Feedback::Editing,
        }
        self.cut &= !self.line.is_empty();
        self.redraw(out);
        Feedback::Editing
    }

    fn sequence(&mut self, number: u32, last: u8, out: &mut String) {
        match (last, number) {
            (b'A', _) => self.older(),
            (b'B', _) => self.newer(),
            (b'C', _) => self.cursor = (self.cursor + 1).min(self.line.len()),
            (b'D', _) => self.cursor = self.cursor.saturating_sub(1),
            (b'H', _) | (b'~', 1 | 7) => self.cursor = 0,
            (b'F', _) | (b'~', 4 | 8) => self.cursor = self.line.len(),
            (b'~', 3) => self.delete(),
            _ => return,
        }
        self.redraw(out);
    }

    fn enter(&mut self, out: &mut String) -> Feedback {
        out.push_str("\r\n");
        if self.cut {
            self.forget_line();
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                "error: a line has {MAX_LINE} characters at most: this one counts for nothing\r\n"
            );
            return Feedback::TooLong;
        }
        let line: String = self.line.iter().collect();
        let known = self.history.last().is_some_and(|l| *l == line);
        if !line.trim().is_empty() && !known {
            if self.history.len() == HISTORY {
                self.history.remove(0);
            }
            self.history.push(line.clone());
        }
        self.forget_line();
        Feedback::Line(line)
    }

    fn delete(&mut self) {
        if self.cursor < self.line.len() {
            self.line.remove(self.cursor);
        }
    }

    fn backspace(&mut self) {
        if self.cursor > 0 {
            self.cursor -= 1;
            self.line.remove(self.cursor);
        }
    }

    fn transpose(&mut self) {
        if self.cursor > 0 && self.line.len() > 1 {
            let at = self.cursor.min(self.line.len() - 1);
            self.line.swap(at - 1, at);
            self.cursor = at + 1;
        }
    }

    fn erase_word(&mut self) {
        let before = &self.line[..self.cursor];
        let end = before.iter().rposition(|c| *c != ' ').map_or(0, |p| p + 1);
        let start = before[..end].iter().rposition(|c| *c == ' ');
        let start = start.map_or(0, |p| p + 1);
        self.line.drain(start..self.cursor);
        self.cursor = start;
    }

    fn older(&mut self) {
        if self.back < self.history.len() {
            if self.back == 0 {
                self.draft = core::mem::take(&mut self.line);
            }
            self.back += 1;
            self.show_history();
        }
    }

    fn newer(&mut self) {
        if self.back > 0 {
            self.back -= 1;
            self.show_history();
        }
    }

    fn show_history(&mut self) {
        self.line = match self.back {
            0 => core::mem::take(&mut self.draft),
            n => self.history[self.history.len() - n].chars().collect(),
        };
        self.cursor = self.line.len();
    }
}
