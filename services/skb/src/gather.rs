//! Facts from the device manager and from the boot archive.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::Wire;
use proto::iface::cores::{CoreState, CoresReply, CoresRequest};
use proto::iface::files::{FilesReply, FilesRequest};
use rt::chan::{Answer, Attach, Client};
use skb::collect;
use skb::datalog::{Changes, Value};

/// Largest piece of firmware's tables, and most pieces.
const MAX_PIECE: u64 = 4 << 20;
const MAX_PIECES: u32 = 1024;

async fn ask<R: Wire>(who: &Client, request: &impl Wire, blob: &[u8]) -> Result<Answer<R>, String> {
    let answer = who.request(request, Attach::blob(blob)).await;
    answer.map_err(|e| e.to_string())
}

/// What firmware left in memory, by address; address of its root; whether it is a tree.
struct Tables {
    pieces: BTreeMap<u64, Vec<u8>>,
    root: u64,
    tree: bool,
}

impl Tables {
    async fn gather(cores: &Client) -> Result<Self, String> {
        let mut tables = Self {
            pieces: BTreeMap::new(),
            root: 0,
            tree: false,
        };
        for piece in 0..MAX_PIECES {
            if !tables.piece(cores, piece).await? {
                break;
            }
        }
        Ok(tables)
    }

    /// Fetches a piece; whether there is one.
    async fn piece(&mut self, cores: &Client, piece: u32) -> Result<bool, String> {
        let mut found = Vec::new();
        loop {
            let offset = found.len() as u64;
            let request = CoresRequest::Firmware { piece, offset };
            let answer: Answer<CoresReply> = ask(cores, &request, &[]).await?;
            let CoresReply::Firmware {
                root,
                tree,
                address,
                bytes,
            } = answer.message
            else {
                return Ok(false);
            };
            if bytes > MAX_PIECE {
                return Err(format!("firmware's table at {address:#x} is too large"));
            }
            (self.root, self.tree) = (root, tree);
            found.extend_from_slice(&answer.blob);
            if found.len() as u64 >= bytes || answer.blob.is_empty() {
                self.pieces.insert(address, found);
                return Ok(true);
            }
        }
    }

    fn read(&self, at: u64, bytes: u64) -> Option<Vec<u8>> {
        let (base, piece) = self.pieces.range(..=at).next_back()?;
        let from = usize::try_from(at - base).ok()?;
        let to = from.checked_add(usize::try_from(bytes).ok()?)?;
        Some(piece.get(from..to)?.to_vec())
    }
}

/// What firmware says.
///
/// # Errors
/// A sentence.
pub async fn machine(cores: &Client) -> Result<Changes, String> {
    let answer: Answer<CoresReply> = ask(cores, &CoresRequest::Core { index: 0 }, &[]).await?;
    let CoresReply::Core { hw_id: boot, .. } = answer.message else {
        return Err("the device manager knows no core".into());
    };
    let tables = Tables::gather(cores).await?;
    // Malformed tables were logged by the device manager.
    let facts = if tables.tree {
        let blob = tables.pieces.get(&tables.root);
        let machine = firmware::tree::read(blob.map_or(&[], Vec::as_slice));
        collect::from_tree(&machine, boot)
    } else {
        let acpi = firmware::acpi::read(tables.root, &mut |at, bytes| tables.read(at, bytes));
        collect::from_acpi(&acpi, boot, None)
    };
    facts.ok_or_else(|| format!("firmware does not list the boot core ({boot:#x})"))
}

/// The kernels in the archive, which are for this machine's ISA.
///
/// # Errors
/// A sentence.
pub async fn kernels(files: &Client, facts: &mut Changes) -> Result<(), String> {
    let isa = facts.asserted.iter().find(|f| &*f.name == "isa");
    let Some(isa) = isa.and_then(|f| f.values.first().cloned()) else {
        return Ok(());
    };
    for index in 0.. {
        let answer: Answer<FilesReply> =
            ask(files, &FilesRequest::List { index }, b"kernel").await?;
        let FilesReply::Entry { .. } = answer.message else {
            break;
        };
        let name = Value::text(&String::from_utf8_lossy(&answer.blob));
        facts.assert("kernel_image", &[name, isa.clone()]);
    }
    Ok(())
}

/// Which core runs what, now.
///
/// # Errors
/// A sentence.
pub async fn running(cores: &Client) -> Result<Changes, String> {
    let mut changes = Changes::default();
    // Whatever ran before; what goes and comes again has not changed.
    changes
        .withdraw_text("running(_, _)")
        .map_err(|e| e.to_string())?;
    for index in 0.. {
        let answer: Answer<CoresReply> = ask(cores, &CoresRequest::Core { index }, &[]).await?;
        let CoresReply::Core {
            core,
            state,
            osnode,
            ..
        } = answer.message
        else {
            break;
        };
        if state == CoreState::Running {
            changes.assert("running", &[core.into(), osnode.into()]);
        }
    }
    Ok(changes)
}
