//! An ordered map whose copies share what they have in common: a B+ tree with counted nodes.
//!
//! A copy costs one count. A change to a copy costs a path from the root to a leaf, and what differs between two copies is
//! found without a look at what they share. So every session and every change may have a store of its own, however many
//! peers there are.

use std::{borrow::Borrow, collections::BTreeSet, fmt, sync::Arc};

/// Entries of a node. More than these are split in two.
const MOST: usize = 16;

/// Every leaf is equally deep. A node is never empty, but for the root of an empty map; nodes are not merged, because stores
/// seldom become smaller.
#[derive(Clone)]
pub(super) struct Map<K, V> {
    root: Arc<Node<K, V>>,
}

#[derive(Clone)]
enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    /// Each child with a key that none beneath it, and none beneath those after it, is smaller than. The first child has
    /// the smaller ones too.
    Branch(Vec<(K, Arc<Self>)>),
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self {
            root: Arc::new(Node::Leaf(Vec::new())),
        }
    }
}

impl<K: Ord + Clone, V: Clone> Map<K, V> {
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = entries.binary_search_by(|(own, _)| own.borrow().cmp(key));
                    return entries.get(at.ok()?).map(|(_, value)| value);
                }
                Node::Branch(children) => node = &*children.get(child_of(children, key))?.1,
            }
        }
    }

    /// The value of `key` to change, which must be there.
    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.get(key)?;
        let mut node = Arc::make_mut(&mut self.root);
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = entries.binary_search_by(|(own, _)| own.borrow().cmp(key));
                    return entries.get_mut(at.ok()?).map(|(_, value)| value);
                }
                Node::Branch(children) => {
                    let at = child_of(children, key);
                    node = Arc::make_mut(&mut children.get_mut(at)?.1);
                }
            }
        }
    }

    /// Puts a value in, in place of the one that `key` had.
    pub(super) fn insert(&mut self, key: K, value: V) {
        if let Some((middle, right)) = insert(&mut self.root, key, value) {
            let left = Arc::clone(&self.root);
            let Some(first) = left.first() else { return };
            let children = vec![(first.clone(), left), (middle, right)];
            self.root = Arc::new(Node::Branch(children));
        }
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.get(key)?;
        let removed = remove(&mut self.root, key);
        while let Node::Branch(children) = &*self.root
            && children.len() <= 1
        {
            let only = children.first().map(|(_, child)| Arc::clone(child));
            self.root = only.unwrap_or_default();
        }
        removed
    }

    /// In order of the keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut nodes = vec![&*self.root];
        let leaves = std::iter::from_fn(move || {
            loop {
                match nodes.pop()? {
                    Node::Leaf(entries) => return Some(entries),
                    Node::Branch(children) => {
                        nodes.extend(children.iter().rev().map(|(_, child)| &**child));
                    }
                }
            }
        });
        leaves.flatten().map(|(key, value)| (key, value))
    }
}

impl<K: Ord + Clone, V: Clone + PartialEq> Map<K, V> {
    /// The keys under which the two maps differ, in order.
    pub(super) fn differences(&self, other: &Self) -> Vec<K> {
        let (mut own, mut others) = (vec![&self.root], vec![&other.root]);
        let (mut deep, mut other_deep) = (self.depth(), other.depth());
        loop {
            // Nodes of one depth that both have hold nothing that differs.
            if deep == other_deep {
                let pointers = |nodes: &[&Arc<Node<K, V>>]| -> BTreeSet<_> {
                    nodes.iter().map(|node| Arc::as_ptr(node)).collect()
                };
                let (of_own, of_others) = (pointers(&own), pointers(&others));
                own.retain(|node| !of_others.contains(&Arc::as_ptr(node)));
                others.retain(|node| !of_own.contains(&Arc::as_ptr(node)));
            }
            if deep == 0 && other_deep == 0 {
                return merged(&own, &others);
            }
            let (own_goes, others_go) = (deep >= other_deep, other_deep >= deep);
            if own_goes {
                own = beneath(&own);
                deep -= 1;
            }
            if others_go {
                others = beneath(&others);
                other_deep -= 1;
            }
        }
    }

    /// Branches above each leaf.
    fn depth(&self) -> usize {
        let (mut node, mut depth) = (&self.root, 0);
        while let Node::Branch(children) = &**node
            && let Some((_, child)) = children.first()
        {
            (node, depth) = (child, depth + 1);
        }
        depth
    }
}

impl<K, V> Node<K, V> {
    fn first(&self) -> Option<&K> {
        match self {
            Self::Leaf(entries) => entries.first().map(|(key, _)| key),
            Self::Branch(children) => children.first().map(|(key, _)| key),
        }
    }
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Self::Leaf(Vec::new())
    }
}

/// The place of the child that has `key`, if any has.
fn child_of<K: Borrow<Q>, C, Q: Ord + ?Sized>(children: &[(K, C)], key: &Q) -> usize {
    let after = children.partition_point(|(first, _)| first.borrow() <= key);
    after.saturating_sub(1)
}

/// Gives the right half, with its first key, of a node that has become too large.
fn insert<K: Ord + Clone, V: Clone>(
    node: &mut Arc<Node<K, V>>,
    key: K,
    value: V,
) -> Option<(K, Arc<Node<K, V>>)> {
    let right = match Arc::make_mut(node) {
        Node::Leaf(entries) => {
            match entries.binary_search_by(|(own, _)| own.cmp(&key)) {
                Ok(at) => {
                    if let Some(entry) = entries.get_mut(at) {
                        entry.1 = value;
                    }
                }
                Err(at) => entries.insert(at, (key, value)),
            }
            Node::Leaf(half(entries)?)
        }
        Node::Branch(children) => {
            let at = child_of(children, &key);
            let (middle, right) = insert(&mut children.get_mut(at)?.1, key, value)?;
            children.insert(at + 1, (middle, right));
            Node::Branch(half(children)?)
        }
    };
    let first = right.first()?.clone();
    Some((first, Arc::new(right)))
}

/// The right half of what has become too much.
fn half<T>(entries: &mut Vec<T>) -> Option<Vec<T>> {
    (entries.len() > MOST).then(|| entries.split_off(entries.len() / 2))
}

fn remove<K: Ord + Clone + Borrow<Q>, V: Clone, Q: Ord + ?Sized>(
    node: &mut Arc<Node<K, V>>,
    key: &Q,
) -> Option<V> {
    match Arc::make_mut(node) {
        Node::Leaf(entries) => {
            let at = entries.binary_search_by(|(own, _)| own.borrow().cmp(key));
            Some(entries.remove(at.ok()?).1)
        }
        Node::Branch(children) => {
            let at = child_of(children, key);
            let child = &mut children.get_mut(at)?.1;
            let removed = remove(child, key);
            if child.first().is_none() {
                children.remove(at);
            }
            removed
        }
    }
}

fn beneath<'a, K, V>(nodes: &[&'a Arc<Node<K, V>>]) -> Vec<&'a Arc<Node<K, V>>> {
    let children = nodes.iter().flat_map(|node| match &***node {
        Node::Branch(children) => children.as_slice(),
        Node::Leaf(_) => &[],
    });
    children.map(|(_, child)| child).collect()
}

/// The keys under which two rows of leaves differ.
fn merged<K: Ord + Clone, V: PartialEq>(
    own: &[&Arc<Node<K, V>>],
    others: &[&Arc<Node<K, V>>],
) -> Vec<K> {
    let mut own = entries(own).peekable();
    let mut others = entries(others).peekable();
    let mut keys = Vec::new();
    loop {
        let order = match (own.peek(), others.peek()) {
            (Some(one), Some(other)) => one.0.cmp(&other.0),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return keys,
        };
        let one = own.next_if(|_| order.is_le());
        let other = others.next_if(|_| order.is_ge());
        if one != other {
            keys.extend(one.or(other).map(|(key, _)| key.clone()));
        }
    }
}

fn entries<'a, K, V>(nodes: &[&'a Arc<Node<K, V>>]) -> impl Iterator<Item = &'a (K, V)> {
    nodes.iter().flat_map(|node| match &***node {
        Node::Leaf(entries) => entries.as_slice(),
        Node::Branch(_) => &[],
    })
}

impl<K: Ord + Clone, V: Clone + PartialEq> PartialEq for Map<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.differences(other).is_empty()
    }
}

impl<K: Ord + Clone, V: Clone + Eq> Eq for Map<K, V> {}

impl<K: Ord + Clone + fmt::Debug, V: Clone + fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests;
