//! What a person does to the knowledge base keeps nothing out that the system tells.

use crate::service::Service;
use std::format;
use std::string::{String, ToString};

/// Twelve cores deep: one row where one core runs, four to the twelfth with four.
const BOOM: &str = "boom(A, B, C, D, E, F, G, H, I, J, K, L) :- running(A, _), running(B, _), \
    running(C, _), running(D, _), running(E, _), running(F, _), running(G, _), running(H, _), \
    running(I, _), running(J, _), running(K, _), running(L, _).";

/// Tells as the device manager does; how many facts more and less, or why not.
fn change(s: &mut Service, withdrawn: &str, asserted: &str) -> Result<(u64, u64), String> {
    let blob = format!("{withdrawn}\0{asserted}");
    let done = s.change(1, blob.as_bytes(), false);
    done.map(|c| (c.asserted, c.withdrawn))
        .map_err(|e| e.text.to_string())
}

fn ask(s: &Service, question: &str) -> String {
    let answer = s.ask(question.as_bytes(), 0).expect("understood");
    String::from_utf8(answer.text).expect("text")
}

#[test]
fn a_rule_that_does_not_fit_gives_way() {
    let mut s = Service::new().expect("its rules");
    let cores = "core(0, 0). core(1, 1). core(2, 2). core(3, 3). running(0, 1).";
    assert_eq!(change(&mut s, "", cores), Ok((5, 0)));
    s.load(b"near(A, B) :- running(A, _), running(B, _).")
        .expect("fits");
    s.load(BOOM.as_bytes()).expect("one row");
    s.load(b"late(A) :- boom(A, _, _, _, _, _, _, _, _, _, _, _).")
        .expect("one row");
    assert_eq!(ask(&s, "late(A)"), "A\n0\n");
    assert_eq!(
        change(&mut s, "", "running(1, 2). running(2, 3). running(3, 4)."),
        Ok((3, 0))
    );
    let notes = s.notes();
    assert_eq!(notes.len(), 1, "{notes:?}");
    let start =
        "the loaded rules of boom are taken out, since what the system tells would not fit: ";
    assert!(notes[0].starts_with(start), "{notes:?}");
    assert_eq!(s.notes(), [""; 0]);
    // Base facts, the rules about machines and other loaded rules are what they were.
    assert_eq!(ask(&s, "running(C, _)"), "C\n0\n1\n2\n3\n");
    assert_eq!(ask(&s, "answer(count(A, B)) :- near(A, B)"), "1\n16\n");
    assert_eq!(ask(&s, "multicast(0, 0, T)"), "T\n1\n2\n3\n");
    assert_eq!(ask(&s, "late(A)"), "A\n");
    assert_eq!(change(&mut s, "running(3, _)", ""), Ok((0, 1)));
    assert_eq!(s.notes(), [""; 0]);
    // Loaded again it is refused, until it fits.
    s.load(BOOM.as_bytes())
        .expect_err("three cores are too many");
    assert_eq!(
        change(&mut s, "running(2, _)\nrunning(1, _)", ""),
        Ok((0, 2))
    );
    s.load(BOOM.as_bytes()).expect("one row");
    assert_eq!(ask(&s, "late(A)"), "A\n0\n");
}

#[test]
fn what_a_person_asserts_does_not_make_rules_go() {
    let mut s = Service::new().expect("its rules");
    change(&mut s, "", "running(0, 1).").expect("fits");
    s.load(BOOM.as_bytes()).expect("one row");
    let e = s.assert(b"running(1, 2). running(2, 3). running(3, 4).");
    let e = e.expect_err("too much").text.to_string();
    assert!(e.contains("boom") && e.contains("that are allowed"), "{e}");
    assert_eq!(ask(&s, "running(C, _)"), "C\n0\n");
    assert_eq!(s.notes(), [""; 0]);
}

#[test]
fn what_the_device_manager_told_stays() {
    let mut s = Service::new().expect("its rules");
    let told = "core(0, 0). running(0, 1). memory(0, 4096, 0).";
    change(&mut s, "core(_, _)\nrunning(_, _)", told).expect("fits");
    s.assert(b"running(1, 2). latency(0, 1, 300).")
        .expect("fits");
    for atom in ["running(_, _)", "running(0, _)", "core(_, 0)"] {
        let e = s
            .withdraw(atom.as_bytes())
            .expect_err(atom)
            .text
            .to_string();
        assert!(
            e.contains("was told by the device manager, which alone withdraws it"),
            "{e}"
        );
    }
    let less = |done: proto::iface::skb::Changed| done.withdrawn;
    // By hand: what was asserted by hand, and what firmware says of memory.
    for atom in ["running(1, _)", "latency(_, _, _)", "memory(_, _, 0)"] {
        assert_eq!(s.withdraw(atom.as_bytes()).map(less), Ok(1), "{atom}");
    }
    // The device manager itself withdraws; afterwards it is nobody's.
    assert_eq!(
        change(&mut s, "running(0, 1)", "running(0, 2)."),
        Ok((1, 1))
    );
    assert!(s.withdraw(b"running(0, 2)").is_err());
    assert_eq!(change(&mut s, "running(0, _)", ""), Ok((0, 1)));
    assert_eq!(s.withdraw(b"running(_, _)").map(less), Ok(0));
    // A change that is refused tells nothing.
    assert!(change(&mut s, "", "running(5, 6). core(1).").is_err());
    s.assert(b"running(5, 6).").expect("fits");
    assert_eq!(s.withdraw(b"running(5, 6)").map(less), Ok(1));
}
