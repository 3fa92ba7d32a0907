// Changes as bytes, and back. A block is one version byte and any number of changes; docs/journal_format.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/change.h"
#include "core/error.h"
#include "state/journal.h"

namespace crossfade::state {

inline constexpr uint8_t kBlockVersion = 1;

// Appends `change` to `block`; an empty block gets its version byte first. Corrupt CF1310 if the images do not fit the
// kind and the table; `block` is then as it was.
Status EncodeChange(uint32_t table_id, const Change& change, std::string* block);

// As DecodeBlock of journal.h, over any bytes and any place where the tables are kept. `block` must outlive it.
std::unique_ptr<ChangeDecoder> DecodeChanges(ChangeDecoder::TableOf table_of, std::string_view block);

}  // namespace crossfade::state
