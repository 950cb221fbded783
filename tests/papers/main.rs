//! Papers: the samples against their oracle, files altered byte by byte, and files made to deceive.
mod alterations;
mod attacks;
mod judged;
mod samples;
