#include "state/journal_listing.h"

#include <algorithm>
#include <ctime>
#include <string>
#include <vector>

namespace crossfade::state {

namespace {

std::string TimeText(int64_t micros) { return ToDisplay(Value::OfInt(ValueKind::kTimestamp, micros)); }

std::string_view KindName(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kInsert:
      return "insert";
    case ChangeKind::kUpdate:
      return "update";
    case ChangeKind::kDelete:
      return "delete";
    case ChangeKind::kTruncate:
      return "truncate";
  }
  return "?";
}

std::vector<std::string_view> FlagNames(uint8_t flags) {
  std::vector<std::string_view> names;
  if ((flags & kNoForeignKeyChecks) != 0) {
    names.push_back("no foreign key checks");
  }
  if ((flags & kCascaded) != 0) {
    names.push_back("cascaded");
  }
  if ((flags & kEndOfStatement) != 0) {
    names.push_back("end of statement");
  }
  return names;
}

// Bytes of the UTF-8 character at the start of `text`; 0 if there is none.
size_t Utf8Length(std::string_view text) {
  const auto byte = [&text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const size_t length = first < 0x80   ? 1
                        : first < 0xC2 ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 0;
  if (length == 0 || length > text.size()) {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) {
      return 0;
    }
  }
  const bool wrong = length > 1 && ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F) ||
                                    (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F));
  return wrong ? 0 : length;
}

std::string Json(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const char c = text[0];
    if (length == 0) {
      out += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out += '"';
}

// For lines: a control character in a value would break them.
std::string OneLine(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return text;
}

class Printer {
 public:
  explicit Printer(std::ostream* out) : out_(out) {}
  virtual ~Printer() = default;
  virtual void Transaction(const TransactionHeader& header) = 0;
  virtual void OneChange(Seq seq, const Change& change) = 0;

 protected:
  std::ostream& out() { return *out_; }

 private:
  std::ostream* out_;
};

class TextPrinter final : public Printer {
 public:
  using Printer::Printer;

  void Transaction(const TransactionHeader& header) override {
    out() << fmt::format("{}  {}  {}  {} change{}, {} bytes\n", header.seq.value,
                         TimeText(header.commit.commit_time_us), header.commit.position.ToString(), header.changes,
                         header.changes == 1 ? "" : "s", header.bytes);
  }

  void OneChange(Seq, const Change& change) override {
    std::string line = fmt::format("    {} {}", KindName(change.kind), change.table->QualifiedName());
    if (change.kind == ChangeKind::kUpdate) {
      line += Key(change) + ": " + Differences(change);
    } else {
      line += Image(*change.table, change.kind == ChangeKind::kDelete ? change.before : change.after);
    }
    for (const std::string_view flag : FlagNames(change.flags & ~kEndOfStatement)) {
      line += fmt::format(" ({})", flag);
    }
    out() << OneLine(std::move(line)) << '\n';
  }

 private:
  static std::string Image(const TableSchema& table, std::span<const Value> image) {
    std::string text;
    for (size_t i = 0; i < image.size(); ++i) {
      if (!image[i].is_absent()) {
        text += fmt::format(" {}={}", table.columns[i].name, ToDisplay(image[i]));
      }
    }
    return text;
  }

  // The primary key before; the whole row where there is none.
  static std::string Key(const Change& change) {
    if (change.table->primary_key.empty()) {
      return Image(*change.table, change.before);
    }
    std::string text;
    for (const KeyPart& part : change.table->primary_key) {
      if (part.column < change.before.size()) {
        text += fmt::format(" {}={}", change.table->columns[part.column].name, ToDisplay(change.before[part.column]));
      }
    }
    return text;
  }

  static std::string Differences(const Change& change) {
    std::string text;
    for (size_t i = 0; i < change.after.size(); ++i) {
      if (!Identical(change.before[i], change.after[i])) {
        text += fmt::format("{}{} {} -> {}", text.empty() ? "" : ", ", change.table->columns[i].name,
                            ToDisplay(change.before[i]), ToDisplay(change.after[i]));
      }
    }
    return text.empty() ? "nothing changed" : text;
  }
};

class JsonPrinter final : public Printer {
 public:
  using Printer::Printer;

  void Transaction(const TransactionHeader& header) override {
    const Position& position = header.commit.position;
    out()
        << fmt::format(
               R"({{"seq":{},"commit_time":{},"arrival_time":{},"position":{{"server":{},"set":{},"last":{},"file":{},)"
               R"("offset":{}}},"changes":{},"bytes":{}}})",
               header.seq.value, Json(TimeText(header.commit.commit_time_us)),
               Json(TimeText(header.commit.arrival_time_us)), Json(position.server), Json(position.set),
               Json(position.last), Json(position.file), position.offset, header.changes, header.bytes)
        << '\n';
  }

  void OneChange(Seq seq, const Change& change) override {
    out() << fmt::format(R"({{"seq":{},"kind":{},"table":{})", seq.value, Json(KindName(change.kind)),
                         Json(change.table->QualifiedName()));
    out() << R"(,"flags":[)";
    std::string_view separator;
    for (const std::string_view flag : FlagNames(change.flags)) {
      out() << separator << Json(flag);
      separator = ",";
    }
    out() << ']';
    Image("before", *change.table, change.before);
    Image("after", *change.table, change.after);
    out() << "}\n";
  }

 private:
  void Image(std::string_view name, const TableSchema& table, std::span<const Value> image) {
    if (image.empty()) {
      return;
    }
    out() << ',' << Json(name) << ":{";
    std::string_view separator;
    for (size_t i = 0; i < image.size(); ++i) {
      if (!image[i].is_absent()) {
        out() << separator << Json(table.columns[i].name) << ':' << ValueText(image[i]);
        separator = ",";
      }
    }
    out() << '}';
  }

  static std::string ValueText(const Value& value) {
    if (value.is_null()) {
      return "null";
    }
    constexpr size_t kMost = 200;
    const bool text =
        value.kind == ValueKind::kText || value.kind == ValueKind::kJson || value.kind == ValueKind::kNative;
    // ToDisplay puts texts in quotation marks, which are not wanted here.
    return Json(text && value.bytes.size() <= kMost ? std::string(value.bytes) : ToDisplay(value, kMost));
  }
};

Status PrintChanges(const Journal& journal, Seq seq, const ChangeBlock& block, Printer* printer) {
  const std::unique_ptr<ChangeDecoder> decoder = DecodeBlock(journal, block);
  std::vector<Value> values;
  ChangeDecoder::Decoded decoded;
  while (true) {
    values.clear();
    CROSSFADE_ASSIGN(const bool more, decoder->Next(&values, &decoded));
    if (!more) {
      return {};
    }
    const std::span<const Value> all = values;
    printer->OneChange(seq, {.table = decoded.table,
                             .kind = decoded.kind,
                             .flags = decoded.flags,
                             .before = all.subspan(decoded.before, decoded.before_count),
                             .after = all.subspan(decoded.after, decoded.after_count)});
  }
}

Status List(Journal& journal, Seq from, size_t limit, bool decode, Printer* printer) {
  const Seq first = std::max(from, journal.stats().first);
  if (first > journal.tail().seq) {
    return {};
  }
  CROSSFADE_ASSIGN(const std::unique_ptr<JournalReader> reader, journal.Read(Seq{first.value - 1}));
  for (size_t n = 0; n < limit; ++n) {
    CROSSFADE_ASSIGN(const std::optional<TransactionHeader> header, reader->NextTransaction(After({})));
    if (!header) {
      break;
    }
    printer->Transaction(*header);
    while (decode) {
      CROSSFADE_ASSIGN(const std::optional<ChangeBlock> block, reader->NextBlock());
      if (!block) {
        break;
      }
      CROSSFADE_TRY(PrintChanges(journal, header->seq, *block, printer));
    }
  }
  return {};
}

}  // namespace

Result<void> ListJournal(Journal& journal, Seq from, size_t limit, bool decode, std::ostream& out) {
  TextPrinter printer(&out);
  return List(journal, from, limit, decode, &printer);
}

Result<void> ListJournalJson(Journal& journal, Seq from, size_t limit, bool decode, std::ostream& out) {
  JsonPrinter printer(&out);
  return List(journal, from, limit, decode, &printer);
}

}  // namespace crossfade::state
