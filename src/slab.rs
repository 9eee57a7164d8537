//! Numbered places for whoever has events, with a generation each: a token outlives its tenant without reaching the next one.

use crate::poller::Token;

/// Places that are used again only after [`reuse_released`](Slab::reuse_released): within a turn an index means one tenant at most.
pub struct Slab<T> {
    tenants: Vec<Option<T>>,
    /// Of each place, how many tenants it had: beside them, or it would be padded.
    generations: Vec<u32>,
    free: Vec<u32>,
    released: Vec<u32>,
}

impl<T> Slab<T> {
    /// What a place takes, occupied or not.
    #[cfg(test)]
    pub const PLACE_BYTES: usize = size_of::<Option<T>>() + size_of::<u32>();

    pub fn new() -> Slab<T> {
        Slab { tenants: Vec::new(), generations: Vec::new(), free: Vec::new(), released: Vec::new() }
    }

    /// Lets `tenant` in.
    pub fn insert(&mut self, tenant: T) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.tenants.push(None);
            self.generations.push(0);
            u32::try_from(self.tenants.len() - 1).expect("fewer than 2³² descriptors")
        });
        self.tenants[index as usize] = Some(tenant);
        Token { index, generation: self.generations[index as usize] }
    }

    /// The tenant that `token` was made for, if it is still there.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let generation = *self.generations.get(token.index as usize)?;
        self.tenants[token.index as usize].as_mut().filter(|_| generation == token.generation)
    }

    /// The token of whoever is at `index` now.
    pub fn token(&self, index: u32) -> Option<Token> {
        let generation = *self.generations.get(index as usize)?;
        self.tenants[index as usize].is_some().then_some(Token { index, generation })
    }

    /// Takes the tenant out.
    pub fn remove(&mut self, token: Token) -> Option<T> {
        self.get_mut(token)?;
        let generation = &mut self.generations[token.index as usize];
        *generation = generation.wrapping_add(1);
        self.released.push(token.index);
        self.tenants[token.index as usize].take()
    }

    /// From now on the places of removed tenants may be given away.
    pub fn reuse_released(&mut self) {
        self.free.append(&mut self.released);
    }

    /// Every tenant's token.
    pub fn tokens(&self) -> impl Iterator<Item = Token> {
        (0..self.tenants.len()).filter_map(|index| self.token(index as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_does_not_reach_the_next_tenant() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        slab.reuse_released();
        let second = slab.insert("second");
        assert_eq!(second.index, first.index, "the place is used again");
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut "second"));
    }

    #[test]
    fn a_place_is_not_used_again_within_the_turn() {
        let mut slab = Slab::new();
        let first = slab.insert(1);
        slab.remove(first);
        assert_ne!(slab.insert(2).index, first.index);
        slab.reuse_released();
        assert_eq!(slab.insert(3).index, first.index);
        assert_eq!(slab.tokens().count(), 2);
    }
}
