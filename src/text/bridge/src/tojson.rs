//! The `tojson` filter as Hugging Face has it: Python's `json.dumps`, with keys in the order in
//! which they came and without the HTML escapes of Jinja's own.
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

const MAX_DEPTH: usize = 128;
const MAX_INDENT: usize = 16;

struct Writer {
    out: String,
    ensure_ascii: bool,
    sort_keys: bool,
    indent: Option<usize>,
    item_separator: String,
    key_separator: String,
}

fn refuse(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("tojson: {message}"))
}

impl Writer {
    fn string(&mut self, text: &str) -> Result<(), Error> {
        let quoted = serde_json::to_string(text).map_err(|error| refuse(error.to_string()))?;
        if !self.ensure_ascii {
            self.out.push_str(&quoted);
            return Ok(());
        }
        for unit in quoted.encode_utf16() {
            match u8::try_from(unit) {
                Ok(ascii) if ascii.is_ascii() => self.out.push(char::from(ascii)),
                _ => self.out.push_str(&format!("\\u{unit:04x}")),
            }
        }
        Ok(())
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat(' ').take(indent * depth));
        }
    }

    /// Charges what was written to the template's fuel as it grows: a small value can be part of a
    /// list many times.
    fn between(
        &mut self,
        state: &State,
        first: bool,
        depth: usize,
        charged: &mut usize,
    ) -> Result<(), Error> {
        if !first {
            let separator = self.item_separator.clone();
            self.out.push_str(&separator);
        }
        self.line(depth);
        state.consume_fuel((1 + (self.out.len() - *charged) / 64) as u64)?;
        *charged = self.out.len();
        Ok(())
    }

    fn value(
        &mut self,
        state: &State,
        value: &Value,
        depth: usize,
        charged: &mut usize,
    ) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(refuse(format!("the value nests deeper than {MAX_DEPTH} levels")));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&value.to_string()),
            ValueKind::String => self.string(value.as_str().unwrap_or_default())?,
            ValueKind::Seq | ValueKind::Iterable => {
                self.out.push('[');
                let mut empty = true;
                for item in value.try_iter()? {
                    self.between(state, empty, depth + 1, charged)?;
                    empty = false;
                    self.value(state, &item, depth + 1, charged)?;
                }
                if !empty {
                    self.line(depth);
                }
                self.out.push(']');
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.out.push('{');
                for (index, key) in keys.iter().enumerate() {
                    self.between(state, index == 0, depth + 1, charged)?;
                    match key.as_str() {
                        Some(text) => self.string(text)?,
                        None => self.string(&key.to_string())?,
                    }
                    let separator = self.key_separator.clone();
                    self.out.push_str(&separator);
                    self.value(state, &value.get_item(key)?, depth + 1, charged)?;
                }
                if !keys.is_empty() {
                    self.line(depth);
                }
                self.out.push('}');
            }
            kind => return Err(refuse(format!("a value of kind {kind} is not JSON"))),
        }
        Ok(())
    }
}

pub fn tojson(
    state: &State,
    value: &Value,
    ensure_ascii: Option<bool>,
    options: Kwargs,
) -> Result<Value, Error> {
    let ensure_ascii = ensure_ascii.or(options.get("ensure_ascii")?).unwrap_or(false);
    let indent: Option<usize> = options.get("indent")?;
    if indent > Some(MAX_INDENT) {
        return Err(refuse(format!("an indent of more than {MAX_INDENT}")));
    }
    let separators: Option<Vec<String>> = options.get("separators")?;
    let separators = separators.unwrap_or_else(|| {
        let between_items = if indent.is_some() { "," } else { ", " };
        vec![between_items.to_string(), ": ".to_string()]
    });
    let [item_separator, key_separator] = <[String; 2]>::try_from(separators)
        .map_err(|_| refuse("separators must be a pair of strings".to_string()))?;
    let sort_keys = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    let mut writer = Writer {
        out: String::new(),
        ensure_ascii,
        sort_keys,
        indent,
        item_separator,
        key_separator,
    };
    writer.value(state, value, 0, &mut 0)?;
    Ok(Value::from(writer.out))
}
