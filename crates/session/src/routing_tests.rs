//! The border, case by case.
