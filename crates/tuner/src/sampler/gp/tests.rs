//! The model against hand-computed and numerical values, and the promises of the sampler.
