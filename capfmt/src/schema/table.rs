//! The one declaration of all capability types.

use super::{Class, Identity, LastDelete, SizeRule, TypeInfo};

/// Declares [`CapType`] and [`SCHEMA`] from one table.
macro_rules! types {
    ($($(#[doc = $doc:literal])+ $name:ident = $n:literal {
        $($field:ident: $value:expr),* $(,)?
    })*) => {
        /// Kinds of capability. The numbers are part of the format and never reused.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum CapType { $($(#[doc = $doc])+ $name = $n,)* }

        impl CapType {
            /// Every type, in the order of their numbers.
            pub const ALL: &'static [CapType] = &[$(CapType::$name),*];
            /// The type with this number, if there is one.
            #[must_use]
            pub const fn from_u8(n: u8) -> Option<CapType> {
                match n { $($n => Some(CapType::$name),)* _ => None }
            }
        }

        /// What is true of each type, indexed by its number.
        pub static SCHEMA: [TypeInfo; CapType::ALL.len()] = {
            use CapType::*;
            [$(TypeInfo {
                $($field: $value,)*
                ..TypeInfo::plain($name, stringify!($name), concat!($($doc, "\n"),+))
            },)*]
        };
    };
}

const BOTH: Identity = Identity {
    param: true,
    extra: true,
};
const PARAM: Identity = Identity {
    param: true,
    extra: false,
};
const EXTRA: Identity = Identity {
    param: false,
    extra: true,
};

types! {
    /// An empty slot.
    Null = 0 { class: Class::Absent, copy: false }
    /// Any physical range, memory or device.
    PhysAddr = 1 { size: SizeRule::Pages, from: &[PhysAddr] }
    /// Untyped memory.
    Ram = 2 { size: SizeRule::Pages, from: &[PhysAddr, Ram], crosses: true }
    /// Memory that can be mapped.
    Frame = 3 { size: SizeRule::Pages, from: &[Ram, Frame], crosses: true, zero: true }
    /// Device registers that can be mapped.
    DevFrame = 4 { size: SizeRule::Pages, from: &[PhysAddr, DevFrame] }
    /// A table of capability slots. `param` = log2 of their number.
    CNode = 5 {
        size: SizeRule::Slots, from: &[Ram], identity: PARAM, zero: true,
        last_delete: LastDelete::Slots,
    }
    /// A dispatcher (its DCB).
    Dispatcher = 6 {
        size: SizeRule::Fixed(crate::DCB_BYTES), from: &[Ram], zero: true,
        last_delete: LastDelete::Slots,
    }
    /// A local message endpoint. base/size = the DCB; `param` = endpoint index, `extra` = badge.
    Endpoint = 7 {
        size: SizeRule::Fixed(crate::DCB_BYTES), made_from: &[Dispatcher],
        made_by: "Dispatcher.EndpointOpen", identity: PARAM, reference: true,
    }
    /// The shared memory of a UMP channel.
    UmpEndpoint = 8 { size: SizeRule::Pages, from: &[Ram], crosses: true, zero: true }
    /// A page table and its shadow. `param` = level (0 = leaf table), `extra` = ISA.
    VNode = 9 {
        size: SizeRule::Fixed(crate::VNODE_BYTES), from: &[Ram], identity: BOTH, zero: true,
        crosses: true, last_delete: LastDelete::Mappings,
    }
    /// What ties a mapped Frame, DevFrame, UmpEndpoint or VNode to VNode entries.
    /// base/size = the mapped bytes; `extra` = VNode address | first index | type mapped << 9; `param` = entry count.
    Mapping = 10 {
        size: SizeRule::Any, copy: false, made_from: &[Frame, DevFrame, UmpEndpoint, VNode],
        made_by: "VNode.Map", identity: BOTH, reference: true, last_delete: LastDelete::Unmap,
    }
    /// A whole OSnode: base/size = its memory region, `extra` = address of its KCB.
    Kcb = 11 {
        size: SizeRule::Pages, made_from: &[Frame], made_by: "Kernel.Seal", identity: EXTRA,
        last_delete: LastDelete::Guarded,
    }
    /// A core's control object.
    Core = 12 {
        size: SizeRule::Fixed(crate::CORE_OBJECT_BYTES), made_from: &[Frame],
        made_by: "Kernel.Seal", last_delete: LastDelete::Guarded,
    }
    /// The notification page of an OSnode.
    Notification = 13 {
        size: SizeRule::Fixed(crate::NOTIFICATION_BYTES), from: &[Ram], zero: true,
    }
    /// Kernel-wide rights (log, identify the running kernel, OSnode-wide queries).
    Kernel = 14 { class: Class::Nowhere, size: SizeRule::None }
    /// A range of interrupt sources: base = first number, size = count.
    IrqSource = 15 { class: Class::Irq, size: SizeRule::Any, from: &[IrqSource] }
    /// One interrupt bound to an endpoint: base = source number, size = 1.
    IrqDest = 16 {
        class: Class::Irq, size: SizeRule::Fixed(1), made_from: &[IrqSource],
        made_by: "IrqSource.IrqMint", reference: true, last_delete: LastDelete::Unbind,
    }
    /// The right to set one bit: base/size = Notification page, `param` = channel, `extra` = OSnode id.
    Notify = 17 {
        size: SizeRule::Fixed(crate::NOTIFICATION_BYTES), made_from: &[Notification],
        made_by: "Notification.NotifyMint", identity: BOTH, reference: true,
    }
    /// The right to command a core: base/size = its Core object.
    CoreControl = 18 {
        size: SizeRule::Fixed(crate::CORE_OBJECT_BYTES), made_from: &[Core],
        made_by: "Core.CoreMint", reference: true,
    }
    /// x86 I/O ports: base = first port, size = count.
    IoPort = 19 { class: Class::IoPort, size: SizeRule::Any, from: &[IoPort] }
    /// Performance counters of the core.
    PerfMon = 20 { class: Class::Nowhere, size: SizeRule::None }
    /// Reserved for IOMMU domains: none exists in this format.
    IommuDomain = 21 { class: Class::Nowhere, size: SizeRule::None, copy: false, identity: EXTRA }
    /// Names a process: `extra` = its id.
    Domain = 22 {
        class: Class::Nowhere, size: SizeRule::None, made_by: "Kernel.IdCreate", identity: EXTRA,
    }
    /// A unique number: `extra`.
    Id = 23 {
        class: Class::Nowhere, size: SizeRule::None, made_by: "Kernel.IdCreate", identity: EXTRA,
    }
}
