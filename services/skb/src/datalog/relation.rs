//! The rows of one predicate, in the order in which they came, with the indexes that rules need.

use super::value::Value;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

/// A row.
pub(super) type Row = Box<[Value]>;

/// Rows by the values of some columns.
#[derive(Clone, Debug)]
struct Index {
    columns: Vec<usize>,
    /// Row numbers, ascending.
    rows: BTreeMap<Row, Vec<u32>>,
}

/// A set of rows of equal length.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    arity: usize,
    /// All rows, one after the other.
    values: Vec<Value>,
    /// The first one is over all columns: it says what is in the set.
    indexes: Vec<Index>,
    /// What the rows take, indexes included.
    bytes: usize,
}

/// Rows that may match: all in a range, or those of an index.
pub(super) enum Candidates<'a> {
    Range(Range<u32>),
    Listed(&'a [u32]),
}

impl Candidates<'_> {
    /// The `i`-th one.
    pub fn get(&self, i: usize) -> Option<u32> {
        match self {
            Self::Range(range) => range.clone().nth(i),
            Self::Listed(rows) => rows.get(i).copied(),
        }
    }
}

impl Relation {
    /// An empty one with an index for each of `indexes` (lists of columns, ascending).
    pub fn new(arity: usize, indexes: &[Vec<usize>]) -> Self {
        let all: Vec<usize> = (0..arity).collect();
        let mut columns = alloc::vec![all];
        for index in indexes {
            if !index.is_empty() && !columns.contains(index) {
                columns.push(index.clone());
            }
        }
        let index = |columns| Index {
            columns,
            rows: BTreeMap::new(),
        };
        Self {
            arity,
            values: Vec::new(),
            indexes: columns.into_iter().map(index).collect(),
            bytes: 0,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> u32 {
        (self.values.len() / self.arity.max(1)) as u32
    }

    /// Row number `n`.
    pub fn row(&self, n: u32) -> &[Value] {
        let at = n as usize * self.arity;
        &self.values[at..at + self.arity]
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = &[Value]> {
        self.values.chunks_exact(self.arity.max(1))
    }

    /// Whether it has this row.
    pub fn contains(&self, row: &[Value]) -> bool {
        self.indexes[0].rows.contains_key(row)
    }

    /// Bytes that its rows take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that a row takes here: itself and its place in each index.
    fn row_bytes(&self, row: &[Value]) -> usize {
        let value = core::mem::size_of::<Value>();
        let heap: usize = row.iter().map(Value::heap_bytes).sum();
        let index = |i: &Index| value * i.columns.len() + 64;
        let indexes: usize = self.indexes.iter().map(index).sum();
        core::mem::size_of_val(row) + heap + indexes
    }

    /// Adds a row; how many bytes that takes (0: it was there).
    pub fn insert(&mut self, row: Row) -> usize {
        if self.contains(&row) {
            return 0;
        }
        let bytes = self.row_bytes(&row);
        let number = self.len();
        for index in &mut self.indexes {
            let key: Row = index.columns.iter().map(|c| row[*c].clone()).collect();
            index.rows.entry(key).or_default().push(number);
        }
        self.values.extend(row);
        self.bytes += bytes;
        bytes
    }

    /// Rows in `span` whose `columns` may be `key`; the caller compares if there is no index.
    pub fn candidates(&self, columns: &[usize], key: &[Value], span: Range<u32>) -> Candidates<'_> {
        let index = self.indexes.iter().find(|i| i.columns == columns);
        let Some(index) = index.filter(|_| !columns.is_empty()) else {
            return Candidates::Range(span);
        };
        let rows = index.rows.get(key).map_or(&[][..], |rows| rows.as_slice());
        let first = rows.partition_point(|r| *r < span.start);
        let end = rows.partition_point(|r| *r < span.end);
        Candidates::Listed(rows.get(first..end).unwrap_or(&[]))
    }
}
