//! The C face of `tokenizers` and `minijinja`. Strings come as pointer and length; every reply is
//! one buffer of bytes, a result or an error text; no panic gets out.
mod reply;
mod template;
mod template_source;
mod tojson;
mod tokenizer;
