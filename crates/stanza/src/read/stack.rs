//! A stack whose first entries are stored inline: most documents never need more.

/// The first `N` entries are stored inline.
pub(super) struct Stack<T, const N: usize> {
    first: [T; N],
    more: Vec<T>,
    len: usize,
}

impl<T: Default, const N: usize> Stack<T, N> {
    pub(super) fn new() -> Self {
        Self {
            first: std::array::from_fn(|_| T::default()),
            more: Vec::new(),
            len: 0,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn push(&mut self, entry: T) {
        match self.first.get_mut(self.len) {
            Some(place) => *place = entry,
            None => self.more.push(entry),
        }
        self.len += 1;
    }

    /// Truncates it to `len` entries.
    #[inline]
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        if !self.more.is_empty() {
            self.more.truncate(self.len.saturating_sub(N));
        }
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<&T> {
        match self.first.get(at) {
            Some(entry) => (at < self.len).then_some(entry),
            None => self.more.get(at - N),
        }
    }

    #[inline]
    pub(super) fn last(&self) -> Option<&T> {
        self.get(self.len.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::Stack;

    #[test]
    fn entries_come_back_from_inside_and_outside() {
        let mut stack: Stack<u8, 2> = Stack::new();
        assert_eq!((stack.last(), stack.get(0)), (None, None));
        for n in 1..=4 {
            stack.push(n);
            assert_eq!(stack.last(), Some(&n));
        }
        let all = |stack: &Stack<u8, 2>| (0..5).filter_map(|at| stack.get(at).copied()).collect();
        let four: Vec<u8> = all(&stack);
        assert_eq!(four, [1, 2, 3, 4]);
        stack.truncate(3);
        stack.truncate(9);
        assert_eq!((stack.len(), stack.last()), (3, Some(&3)));
        stack.truncate(1);
        stack.push(7);
        stack.push(8);
        let three: Vec<u8> = all(&stack);
        assert_eq!(three, [1, 7, 8]);
    }
}
