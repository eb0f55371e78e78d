//! The schema as a table for readers.

use core::fmt::{self, Write};

use super::{CapType, Class, LastDelete, SCHEMA, SizeRule};

/// Writes the schema as a Markdown table.
///
/// # Errors
/// Those of the writer.
pub fn write_markdown(out: &mut impl Write) -> fmt::Result {
    writeln!(
        out,
        "| no. | type | meaning | space | object size | made from | copy | told apart by | crosses OSnodes | zeroed | last deletion |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|")?;
    for t in &SCHEMA {
        write!(out, "| {} | `{}` | ", t.kind as u8, t.name)?;
        for (i, line) in t.meaning.lines().enumerate() {
            write!(
                out,
                "{}{}",
                if i == 0 { "" } else { " " },
                line.trim().replace_bar()
            )?;
        }
        write!(out, " | {} | ", class_name(t.class))?;
        size_name(out, t.size)?;
        write!(out, " | ")?;
        sources(out, t.from, t.made_from, t.made_by)?;
        let told = match (t.identity.param, t.identity.extra) {
            (true, true) => "param, extra",
            (true, false) => "param",
            (false, true) => "extra",
            (false, false) => "",
        };
        writeln!(
            out,
            " | {} | {} | {} | {} | {} |",
            yes(t.copy),
            told,
            yes(t.crosses),
            yes(t.zero),
            last_name(t.last_delete)
        )?;
    }
    Ok(())
}

/// A line of text in which `|` cannot end a table cell.
struct NoBar<'a>(&'a str);
trait ReplaceBar {
    fn replace_bar(&self) -> NoBar<'_>;
}
impl ReplaceBar for str {
    fn replace_bar(&self) -> NoBar<'_> {
        NoBar(self)
    }
}
impl fmt::Display for NoBar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c == '|' {
                f.write_str("\\|")
            } else {
                f.write_char(c)
            }
        })
    }
}

const fn yes(b: bool) -> &'static str {
    if b { "yes" } else { "" }
}

const fn class_name(c: Class) -> &'static str {
    match c {
        Class::Physical => "physical",
        Class::Irq => "interrupts",
        Class::IoPort => "I/O ports",
        Class::Nowhere => "none",
        Class::Absent => "not in the MDB",
    }
}

fn size_name(out: &mut impl Write, s: SizeRule) -> fmt::Result {
    match s {
        SizeRule::None => Ok(()),
        SizeRule::Fixed(n) => write!(out, "{n}"),
        SizeRule::Pages => write!(out, "pages"),
        SizeRule::Slots => write!(out, "64 << param"),
        SizeRule::Any => write!(out, "any"),
    }
}

fn sources(out: &mut impl Write, from: &[CapType], made: &[CapType], by: &str) -> fmt::Result {
    for (i, k) in from.iter().chain(made).enumerate() {
        write!(out, "{}{}", if i == 0 { "" } else { ", " }, k.info().name)?;
    }
    if !by.is_empty() {
        write!(
            out,
            "{}by `{by}`",
            if from.len() + made.len() == 0 {
                ""
            } else {
                " "
            }
        )?;
    }
    Ok(())
}

const fn last_name(l: LastDelete) -> &'static str {
    match l {
        LastDelete::Nothing => "",
        LastDelete::Slots => "deletes the slots inside",
        LastDelete::Mappings => "deletes its mappings",
        LastDelete::Unmap => "unmaps",
        LastDelete::Unbind => "unbinds",
        LastDelete::Guarded => "refused while it runs",
    }
}
