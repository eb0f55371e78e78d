//! Which processor a core is, from the words that a kernel notes in the core's object.

use alloc::format;
use alloc::string::String;

use crate::cpuid::{Division, FeatureWords, Subleaf};

/// Words of a core's object about its processor.
pub const WORDS: usize = 8;

/// What they say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Processor {
    /// Who made it: CPUID's vendor string, or the implementer of MIDR.
    pub vendor: String,
    /// x86: family; Arm: part number.
    pub family: u32,
    /// x86: model; Arm: variant.
    pub model: u32,
    /// x86: stepping; Arm: revision.
    pub revision: u32,
    /// x86: what it can do.
    pub features: FeatureWords,
    /// x86: how an APIC id is divided, if it says so.
    pub division: Option<Division>,
}

impl Processor {
    /// Of CPUID's words: vendor, signature, features, subleaves of leaf 1FH or 0BH. `None` if no kernel noted them.
    /// Source: Intel SDM volume 2A, CPUID, figure "Version Information Returned by CPUID in EAX".
    #[must_use]
    pub fn of_cpuid(words: &[u64; WORDS]) -> Option<Self> {
        if words[0] == 0 {
            return None;
        }
        let mut name = [0; 12];
        name[..8].copy_from_slice(&words[0].to_le_bytes());
        name[8..].copy_from_slice(&(words[1] as u32).to_le_bytes());
        let name = name.map(|b| if b.is_ascii_graphic() { b } else { b'.' });
        let signature = (words[1] >> 32) as u32;
        let (family, model) = (signature >> 8 & 0xf, signature >> 4 & 0xf);
        let more_family = if family == 0xf {
            signature >> 20 & 0xff
        } else {
            0
        };
        let long_model = matches!(family, 6 | 0xf);
        let more_model = if long_model { signature >> 16 & 0xf } else { 0 };
        let leaves: alloc::vec::Vec<Subleaf> = words[4..]
            .iter()
            .map(|w| Subleaf {
                eax: *w as u32,
                ecx: (*w >> 32) as u32,
            })
            .collect();
        Some(Self {
            vendor: String::from_utf8_lossy(&name).into_owned(),
            family: family + more_family,
            model: more_model << 4 | model,
            revision: signature & 0xf,
            features: FeatureWords {
                leaf1_ecx: words[2] as u32,
                leaf1_edx: (words[2] >> 32) as u32,
                leaf7_ebx: words[3] as u32,
            },
            division: Division::of(&leaves),
        })
    }

    /// Of MIDR_EL1. `None` if no kernel noted it. Source: Arm ARM (DDI 0487), MIDR_EL1.
    #[must_use]
    pub fn of_midr(words: &[u64; WORDS]) -> Option<Self> {
        let midr = words[0] as u32;
        let vendor = match midr >> 24 {
            _ if midr == 0 => return None,
            0x41 => String::from("arm"),
            0x42 => String::from("broadcom"),
            0x48 => String::from("hisilicon"),
            0x4e => String::from("nvidia"),
            0x51 => String::from("qualcomm"),
            0x53 => String::from("samsung"),
            0x61 => String::from("apple"),
            0xc0 => String::from("ampere"),
            0 => String::from("software"),
            other => format!("implementer {other:#x}"),
        };
        Some(Self {
            vendor,
            family: midr >> 4 & 0xfff,
            model: midr >> 20 & 0xf,
            revision: midr & 0xf,
            features: FeatureWords::default(),
            division: None,
        })
    }
}
