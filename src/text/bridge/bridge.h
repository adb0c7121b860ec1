// The C ABI of the Rust crate in this folder (tokenizers and minijinja). Texts are UTF-8 given as
// pointer and length; handles are immutable and may be used from many threads. Nothing here aborts,
// throws or unwinds.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The result of a call (`ok`) or the text of its error. Freed with octavo_reply_free, exactly once.
typedef struct {
  bool ok;
  uint8_t* data;
  size_t size;
} OctavoReply;

typedef struct OctavoTokenizer OctavoTokenizer;
typedef struct OctavoTemplate OctavoTemplate;

void octavo_reply_free(OctavoReply reply);

// `json`: the content of a tokenizer.json. `*out` is null when the reply is not ok.
OctavoReply octavo_tokenizer_new(const uint8_t* json, size_t size, OctavoTokenizer** out);
void octavo_tokenizer_free(OctavoTokenizer* tokenizer);
// Replies with ids, uint32_t each in native byte order.
OctavoReply octavo_tokenizer_encode(const OctavoTokenizer* tokenizer, const uint8_t* text,
                                    size_t size, bool add_special);
// Replies with text.
OctavoReply octavo_tokenizer_decode(const OctavoTokenizer* tokenizer, const uint32_t* ids,
                                    size_t count, bool skip_special);
// One more than the highest id.
uint32_t octavo_tokenizer_size(const OctavoTokenizer* tokenizer);
// Replies with one uint32_t.
OctavoReply octavo_tokenizer_token_to_id(const OctavoTokenizer* tokenizer, const uint8_t* token,
                                         size_t size);
// Replies with text.
OctavoReply octavo_tokenizer_id_to_token(const OctavoTokenizer* tokenizer, uint32_t id);

// `source`: a Jinja chat template. `*out` is null when the reply is not ok.
OctavoReply octavo_template_new(const uint8_t* source, size_t size, OctavoTemplate** out);
void octavo_template_free(OctavoTemplate* chat_template);
// `context`: a JSON object, its members are the template's variables. Replies with text.
OctavoReply octavo_template_render(const OctavoTemplate* chat_template, const uint8_t* context,
                                   size_t size);

#ifdef __cplusplus
}
#endif
