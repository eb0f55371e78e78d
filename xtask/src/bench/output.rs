//! Figures as files: CSV, Markdown, SVG. Pure but for [`write`].

use super::figures::Figure;
use super::plot::{Chart, Curve};
use super::share::{CORES, HOW, LINES};
use crate::{progress, workspace};
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;

/// What whoever looks at the shared lines must know: neither is a property of hardware.
pub const NO_CACHES: [&str; 2] = [
    "Instructions under emulation: TCG models no caches, so nothing of what moving lines costs shows.",
    "Its cores take turns: the lock is hardly ever contended. Waiting is not in the curves.",
];
/// The same in the CSV, by row.
const MARK: &str = "TCG models no caches";

/// Writes the figures of a board to `target/bench`.
pub fn write(board: &str, figures: &[Figure]) -> Result<()> {
    let dir = workspace::root().join("target/bench");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let files = [
        ("csv", csv(figures)),
        ("md", markdown(board, figures)),
        ("svg", chart(board, figures).svg()),
    ];
    for (extension, text) in files {
        let path = dir.join(format!("multikernel-{board}.{extension}"));
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        progress::say(&format!("{board}: {}", workspace::shown(&path)));
    }
    Ok(())
}

fn csv(figures: &[Figure]) -> String {
    let mut text =
        "board,name,unit,n,min,median,max,wait_median,virtual_ns_median,note\n".to_owned();
    for f in figures {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{}",
            f.board,
            f.name,
            f.unit,
            f.n,
            f.min,
            f.median,
            f.max,
            f.wait_median,
            f.virtual_ns_median,
            shared(&f.name).map_or("", |_| MARK)
        );
    }
    text
}

/// What `HOW.LINES.CORES` says.
fn shared(name: &str) -> Option<(&str, u64, u64)> {
    let mut parts = name.split('.');
    let how = parts.next().filter(|how| HOW.contains(how))?;
    Some((
        how,
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
    ))
}

fn median_of(figures: &[Figure], how: &str, lines: u64, cores: u64) -> Option<u64> {
    let found = figures.iter();
    let mut found = found.filter(|f| shared(&f.name) == Some((how, lines, cores)));
    found.next().map(|f| f.median)
}

/// Numbers of cores that there are figures of.
fn core_counts(figures: &[Figure]) -> Vec<u64> {
    let there = |cores: &u64| {
        let mut found = figures.iter().filter_map(|f| shared(&f.name));
        found.any(|(_, _, n)| n == *cores)
    };
    CORES.into_iter().map(|n| n as u64).filter(there).collect()
}

fn markdown(board: &str, figures: &[Figure]) -> String {
    let mut text = format!("# bench multikernel: {board}\n\n");
    text.push_str("| figure | unit | n | min | median | max | waiting |\n");
    text.push_str("|---|---|--:|--:|--:|--:|--:|\n");
    for f in figures.iter().filter(|f| shared(&f.name).is_none()) {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} | {} |",
            f.name, f.unit, f.n, f.min, f.median, f.max, f.wait_median
        );
    }
    let _ = writeln!(
        text,
        "\nRest: 4 cores; wake-ups: the board's; capabilities: 17 cores (`--smp 17`); lines: 16 (`--smp 16`).\n\
         Costs of capabilities are the work of all cores together.\n\n\
         Updates of 1 to 8 cache lines (`HOW.LINES`) by so many cores: under a spin lock in memory that\n\
         they share (`shm`), or by messages to one of them that holds the lines (`msg`; one core alone\n\
         updates without messages). Median cost of an update, all cores' work together, waiting apart.\n\
         **{}** {}\n",
        NO_CACHES[0], NO_CACHES[1]
    );
    text.push_str("| cores |");
    let columns = || HOW.into_iter().flat_map(|how| LINES.map(|l| (how, l)));
    for (how, lines) in columns() {
        let _ = write!(text, " {how}.{lines} |");
    }
    text.push_str("\n|--:|");
    columns().for_each(|_| text.push_str("--:|"));
    text.push('\n');
    for cores in core_counts(figures) {
        let _ = write!(text, "| {cores} |");
        for (how, lines) in columns() {
            let median = median_of(figures, how, lines, cores);
            let _ = write!(
                text,
                " {} |",
                median.map_or("–".to_owned(), |n| n.to_string())
            );
        }
        text.push('\n');
    }
    text
}

fn chart(board: &str, figures: &[Figure]) -> Chart {
    let cores = core_counts(figures);
    let curve = |how: &str, colour: usize, lines: u64| {
        let point = |cores: u64| {
            let median = median_of(figures, how, lines, cores)?;
            Some((cores as f64, median as f64))
        };
        Curve {
            name: format!("{}{lines}", how.to_uppercase()),
            points: cores.iter().copied().filter_map(point).collect(),
            dashed: how == "msg",
            colour,
        }
    };
    let curves = HOW.into_iter().flat_map(|how| {
        let curve = &curve;
        LINES
            .iter()
            .enumerate()
            .map(move |(colour, lines)| curve(how, colour, *lines))
    });
    Chart {
        title: format!("Updating cache lines: shared memory (SHM) against messages (MSG), {board}"),
        notes: NO_CACHES.map(str::to_owned).to_vec(),
        x: "cores that take part".to_owned(),
        y: "guest instructions per update, all cores".to_owned(),
        curves: curves.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, median: u64) -> Figure {
        Figure {
            board: "b".to_owned(),
            name: name.to_owned(),
            unit: super::super::figures::UNIT,
            n: 20,
            min: 1,
            median,
            max: 99,
            wait_median: 3,
            virtual_ns_median: 4,
        }
    }

    #[test]
    fn every_figure_is_in_the_files_and_so_is_the_warning() {
        let figures = [
            figure("idle.x", 7),
            figure("shm.1.1", 44),
            figure("msg.1.1", 30),
            figure("msg.8.2", 470),
        ];
        let rows = csv(&figures);
        assert_eq!(rows.lines().count(), 5);
        let marked = rows.lines().filter(|row| row.ends_with(MARK));
        assert_eq!(marked.count(), 3, "rest needs no such note");
        let text = markdown("b", &figures);
        assert!(text.contains("| `idle.x` |") && text.contains("no caches"));
        assert!(text.contains("| 1 | 44 | – | – | – | 30 |") && text.contains(" 470 |\n"));
        assert!(!text.contains("| 4 |"), "no row without figures");
        let svg = chart("b", &figures).svg();
        assert!(svg.contains("no caches") && svg.contains("MSG8") && svg.contains("SHM1"));
    }

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(shared("msg.4.16"), Some(("msg", 4, 16)));
        assert_eq!(shared("cap.revoke.4"), None);
        assert_eq!(shared("msg.x.1"), None);
    }
}
