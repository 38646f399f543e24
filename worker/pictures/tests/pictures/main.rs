//! The codecs as the worker meets them: the program itself, over its pipes.

mod cases;
mod codecs;
mod hostile;
mod options;
mod sealed;
mod variants;
