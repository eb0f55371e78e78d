extern crate std;

use std::collections::VecDeque;
use std::format;
use std::vec::Vec;

use rt::SysError;

use super::{MAX_KEYS, State, Uart};

/// A UART whose interrupt is the rise of a line, as behind a PC's IO-APIC. Each look at it takes
/// one unit of its time.
#[derive(Default)]
struct Line {
    now: u64,
    /// When keys come.
    typed: VecDeque<(u64, u8)>,
    /// When a byte more finds room.
    drained: VecDeque<u64>,
    received: VecDeque<u8>,
    room: u64,
    sent: Vec<u8>,
    /// There is room that nobody was told of.
    emptied: bool,
    wanted: (bool, bool),
    up: bool,
    rose: bool,
    /// It asks for a byte that it does not have.
    broken: bool,
}

impl Line {
    fn level(&mut self) {
        let up = self.wanted.0 && !self.received.is_empty() || self.wanted.1 && self.emptied;
        self.rose |= up && !self.up;
        self.up = up;
    }
    fn tick(&mut self) {
        self.now += 1;
        while let Some((_, key)) = self.typed.pop_front_if(|(at, _)| *at <= self.now) {
            self.received.push_back(key);
        }
        while self.drained.pop_front_if(|at| *at <= self.now).is_some() {
            self.room += 1;
            self.emptied = true;
        }
        self.level();
    }
}

impl Uart for Line {
    fn receive(&mut self) -> Result<Option<u8>, SysError> {
        self.tick();
        let key = self.received.pop_front();
        self.level();
        Ok(key)
    }
    fn send(&mut self, byte: u8) -> Result<bool, SysError> {
        self.tick();
        if self.room == 0 {
            return Ok(false);
        }
        self.room -= 1;
        self.emptied = false;
        self.sent.push(byte);
        self.level();
        Ok(true)
    }
    fn want(&mut self, keys: bool, room: bool) -> Result<(), SysError> {
        self.tick();
        self.emptied |= room && !self.wanted.1 && self.room > 0;
        self.wanted = (keys, room);
        self.level();
        Ok(())
    }
    fn is_idle(&mut self) -> Result<bool, SysError> {
        Ok(true)
    }
    fn interrupted(&mut self) -> Result<bool, SysError> {
        self.tick();
        let asked = self.up || self.broken;
        // Keys go first: what identifies them says nothing of the room.
        if !self.wanted.0 || self.received.is_empty() {
            self.emptied = false;
        }
        self.level();
        Ok(asked)
    }
}

/// Interrupts as long as the line rises, until nothing happens any more.
fn run(s: &mut State<Line>) {
    loop {
        if core::mem::take(&mut s.uart.rose) {
            s.serve_interrupt().unwrap();
        } else if s.uart.typed.is_empty() && s.uart.drained.is_empty() {
            return;
        } else {
            s.uart.tick();
        }
    }
}

/// A console with `output` to send, whose device has these keys and this room to come.
fn console(output: &[u8], typed: &[(u64, u8)], drained: &[u64]) -> State<Line> {
    let mut s = State::new(Line {
        typed: typed.iter().copied().collect(),
        drained: drained.iter().copied().collect(),
        wanted: (true, false),
        ..Line::default()
    });
    s.output.write(output);
    s.go_on().unwrap();
    s
}

#[test]
fn no_moment_of_a_key_or_of_room_is_missed() {
    for first in 1..30 {
        for second in first..30 {
            for room in 1..30 {
                let typed = [(first, b'a'), (second, b'b')];
                let mut s = console(b"xyz", &typed, &[room, room + 3, room + 3, room + 12]);
                run(&mut s);
                assert_eq!(s.keys, b"ab", "keys at {first}, {second}, room at {room}");
                assert_eq!(
                    s.uart.sent, b"xyz",
                    "keys at {first}, {second}, room at {room}"
                );
            }
        }
    }
}

#[test]
fn no_moment_of_room_is_missed_while_a_key_has_no_place() {
    for key in 1..30 {
        for first in 1..30 {
            for second in first..30 {
                let typed = [(key, b'a'), (key + 1, b'b'), (key + 2, b'c')];
                let mut s = console(b"xy", &typed, &[first, second]);
                // A place for none, one or two of the three.
                let before = MAX_KEYS - (key + second) as usize % 3;
                s.keys.extend(core::iter::repeat_n(b'k', before));
                run(&mut s);
                let what = format!("key at {key}, room at {first}, {second}");
                assert_eq!(s.uart.sent, b"xy", "{what}");
                s.keys.drain(..before);
                s.go_on().unwrap();
                run(&mut s);
                assert_eq!(s.keys, b"abc", "{what}");
            }
        }
    }
}

#[test]
fn keys_without_a_place_hold_no_output_up_and_come_later() {
    let typed: Vec<_> = (0..MAX_KEYS as u64 + 20).map(|at| (at, at as u8)).collect();
    let drained: Vec<_> = (0..100).map(|i| 2000 + 50 * i).collect();
    let mut s = console(&[b'o'; 100], &typed, &drained);
    run(&mut s);
    assert_eq!(s.keys.len(), MAX_KEYS);
    assert_eq!(
        s.uart.sent.len(),
        100,
        "what is sent does not wait for a reader"
    );
    let mut read: Vec<_> = s.keys.drain(..).collect();
    s.go_on().unwrap();
    run(&mut s);
    read.extend(s.keys.drain(..));
    assert_eq!(read, typed.iter().map(|(_, key)| *key).collect::<Vec<_>>());
    s.uart.typed.push_back((0, b'z'));
    run(&mut s);
    assert_eq!(s.keys, b"z", "keys are asked for again");
}

#[test]
fn a_device_that_asks_for_nothing_is_left() {
    let mut s = console(b"", &[(1, b'a')], &[]);
    s.uart.broken = true;
    s.serve_interrupt().unwrap();
    assert_eq!(s.keys, b"a");
}
