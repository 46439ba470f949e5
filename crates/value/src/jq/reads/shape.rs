//! What an expression may stand for: places of the input, or what the program made of them.

use super::{Root, Step};

/// Places that one expression may stand for.
const PLACES_MAX: usize = 64;

/// What an expression may stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// Places of the input or of a variable.
    pub(super) places: Vec<(Root, Vec<Step>)>,
    /// The items of an array that the program made.
    items: Option<Box<Shape>>,
    /// The fields of an object that the program made; they hide those of `places`.
    pub(super) fields: Vec<(String, Shape)>,
}

impl Shape {
    pub(super) fn place(root: Root) -> Self {
        Self { places: vec![(root, Vec::new())], ..Self::default() }
    }

    pub(super) fn array(items: Shape) -> Self {
        Self { items: Some(Box::new(items)), ..Self::default() }
    }

    pub(super) fn object(name: &str, value: Shape) -> Self {
        Self { fields: vec![(name.to_owned(), value)], ..Self::default() }
    }

    pub(super) fn or(mut self, other: Shape) -> Self {
        for place in other.places {
            if self.places.len() < PLACES_MAX && !self.places.contains(&place) {
                self.places.push(place);
            }
        }
        self.items = match (self.items, other.items) {
            (Some(l), Some(r)) => Some(Box::new(l.or(*r))),
            (l, r) => l.or(r),
        };
        for (name, shape) in other.fields {
            self.set(&name, shape);
        }
        self
    }

    /// Adds to what the field `name` may be.
    fn set(&mut self, name: &str, shape: Shape) {
        match self.fields.iter_mut().find(|(held, _)| held == name) {
            Some((_, held)) => *held = std::mem::take(held).or(shape),
            None => self.fields.push((name.to_owned(), shape)),
        }
    }

    pub(super) fn step(&self, step: &Step) -> Shape {
        let below = || {
            let places =
                self.places.iter().map(|(root, path)| (root.clone(), [path.as_slice(), std::slice::from_ref(step)].concat()));
            Self { places: places.collect(), ..Self::default() }
        };
        match step {
            Step::Field(name) => match self.fields.iter().find(|(held, _)| held == name) {
                Some((_, made)) => made.clone(),
                None => below(),
            },
            Step::Each => {
                let items = self.items.as_deref().cloned().unwrap_or_default();
                self.fields.iter().fold(below().or(items), |all, (_, made)| all.or(made.clone()))
            }
        }
    }

    pub(super) fn each(&self) -> Shape {
        self.step(&Step::Each)
    }
}
