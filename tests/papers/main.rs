//! Papers: the samples against their oracle, files altered byte by byte, and files made to deceive.
mod alterations;
mod judged;
mod samples;
