use std::collections::BTreeMap;

use proptest::{collection, prelude::*};

use super::Map;

#[derive(Debug, Clone)]
enum Act {
    Insert(u16, u8),
    Change(u16, u8),
    Remove(u16),
}

fn acts(most: usize) -> impl Strategy<Value = Vec<Act>> {
    let key = 0..300_u16;
    let act = prop_oneof![
        4 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Act::Insert(key, value)),
        1 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Act::Change(key, value)),
        2 => key.prop_map(Act::Remove),
    ];
    collection::vec(act, 0..most)
}

fn apply(acts: &[Act], map: &mut Map<u16, u8>, model: &mut BTreeMap<u16, u8>) {
    for act in acts {
        match act {
            Act::Insert(key, value) => {
                map.insert(*key, *value);
                model.insert(*key, *value);
            }
            Act::Change(key, value) => {
                let own = map.get_mut(key).map(|own| *own = *value);
                assert_eq!(own, model.get_mut(key).map(|own| *own = *value));
            }
            Act::Remove(key) => assert_eq!(map.remove(key), model.remove(key)),
        }
    }
}

fn differences(one: &BTreeMap<u16, u8>, other: &BTreeMap<u16, u8>) -> Vec<u16> {
    let mut keys: Vec<u16> = one.keys().chain(other.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    keys.retain(|key| one.get(key) != other.get(key));
    keys
}

proptest! {
    #[test]
    fn it_is_a_map_and_a_copy_is_left_alone(first in acts(600), second in acts(200)) {
        let (mut map, mut model) = (Map::default(), BTreeMap::new());
        apply(&first, &mut map, &mut model);
        let (copy, kept) = (map.clone(), model.clone());
        apply(&second, &mut map, &mut model);
        for (map, model) in [(&map, &model), (&copy, &kept)] {
            prop_assert!(map.iter().eq(model.iter()));
            for key in 0..300 {
                prop_assert_eq!(map.get(&key), model.get(&key));
            }
        }
        prop_assert_eq!(map.differences(&copy), differences(&model, &kept));
        prop_assert_eq!(copy.differences(&map), differences(&kept, &model));
    }

    #[test]
    fn maps_are_equal_by_what_they_hold(first in acts(300), second in acts(300)) {
        let (mut one, mut model) = (Map::default(), BTreeMap::new());
        apply(&first, &mut one, &mut model);
        let (mut other, mut other_model) = (Map::default(), BTreeMap::new());
        apply(&second, &mut other, &mut other_model);
        prop_assert_eq!(one == other, model == other_model);
        let mut again = Map::default();
        model.iter().rev().for_each(|(key, value)| again.insert(*key, *value));
        prop_assert_eq!(&again, &one);
    }
}

#[test]
fn ten_thousand_entries_are_a_few_nodes_deep() {
    let mut map = Map::default();
    for key in 0..10_000_u32 {
        map.insert(key.wrapping_mul(2_654_435_761), key);
    }
    assert!(map.depth() <= 4, "{}", map.depth());
    let copy = map.clone();
    map.insert(7, 7);
    assert_eq!(map.differences(&copy), [7]);
}
