#include "apply/postgres/json_form.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace crossfade::apply {

namespace {

void AppendInteger(auto value, std::string* out) {
  char digits[20];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), value);
  out->append(digits, end.ptr);
}

// "-12.340e2" as sign, digits without zeros at either end, and a power of ten.
void AppendNumberForm(std::string_view text, std::string* out) {
  const size_t begin = out->size();
  if (text.starts_with('-')) {
    out->push_back('-');
    text.remove_prefix(1);
  }
  const size_t exponent_at = text.find_first_of("eE");
  int64_t exponent = 0;
  if (exponent_at != std::string_view::npos) {
    std::string_view digits = text.substr(exponent_at + 1);
    digits.remove_prefix(digits.starts_with('+') ? 1 : 0);
    std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
  }
  const size_t digits_begin = out->size();
  bool behind_point = false;
  for (const char c : text.substr(0, exponent_at)) {
    if (c == '.') {
      behind_point = true;
      continue;
    }
    exponent -= behind_point ? 1 : 0;
    if (c != '0' || out->size() > digits_begin) {
      out->push_back(c);
    }
  }
  while (out->size() > digits_begin && out->back() == '0') {
    out->pop_back();
    ++exponent;
  }
  if (out->size() == digits_begin) {
    out->resize(begin);
    out->push_back('0');
    return;
  }
  out->push_back('e');
  AppendInteger(exponent, out);
}

void AppendText(std::string_view text, std::string* out) {
  out->push_back('s');
  AppendInteger(text.size(), out);
  out->push_back(':');
  out->append(text);
}

// Appends as the parser goes. Members stand in the order in which PostgreSQL and MySQL keep them, shorter names first,
// so that few objects need to be put in order. Borrows `out`.
class FormBuilder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit FormBuilder(std::string* out) : out_(*out) {}

  bool null() override { return Literal("n,"); }
  bool boolean(bool value) override { return Literal(value ? "t," : "f,"); }
  bool number_integer(number_integer_t value) override { return Number(value); }
  bool number_unsigned(number_unsigned_t value) override { return Number(value); }
  bool number_float(number_float_t, const string_t& text) override {
    AppendNumberForm(text, &out_);
    return Literal(",");
  }
  bool string(string_t& text) override {
    AppendText(text, &out_);
    return Literal(",");
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Open("{"); }
  bool key(string_t& name) override {
    const size_t begin = out_.size();
    AppendText(name, &out_);
    members_.push_back({begin, out_.size() - name.size(), name.size()});
    return true;
  }
  bool end_object() override {
    const size_t first = first_members_.back();
    if (!InOrder(first)) {
      PutInOrder(first);
    }
    members_.resize(first);
    first_members_.pop_back();
    return Literal("},");
  }
  bool start_array(std::size_t) override { return Open("["); }
  bool end_array() override {
    first_members_.pop_back();
    return Literal("],");
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  // Places in `out_`. A member ends where the next one begins.
  struct Member {
    size_t begin;
    size_t name;
    size_t name_size;
  };

  bool Literal(std::string_view text) {
    out_.append(text);
    return true;
  }
  bool Open(std::string_view begin) {
    first_members_.push_back(members_.size());
    return Literal(begin);
  }
  bool Number(auto value) {
    char digits[24];
    const auto end = std::to_chars(std::begin(digits), std::end(digits), value);
    AppendNumberForm({std::begin(digits), end.ptr}, &out_);
    return Literal(",");
  }

  std::string_view NameOf(const Member& member) const {
    return std::string_view(out_).substr(member.name, member.name_size);
  }
  bool Before(const Member& a, const Member& b) const {
    return a.name_size != b.name_size ? a.name_size < b.name_size : NameOf(a) < NameOf(b);
  }
  bool InOrder(size_t first) const {
    for (size_t i = first + 1; i < members_.size(); ++i) {
      if (!Before(members_[i - 1], members_[i])) {
        return false;
      }
    }
    return true;
  }

  // Of members with one name the last stays.
  void PutInOrder(size_t first) {
    struct Piece {
      Member member;
      size_t size;
    };
    std::vector<Piece> pieces;
    for (size_t i = first; i < members_.size(); ++i) {
      const size_t end = i + 1 < members_.size() ? members_[i + 1].begin : out_.size();
      pieces.push_back({members_[i], end - members_[i].begin});
    }
    std::stable_sort(pieces.begin(), pieces.end(),
                     [this](const Piece& a, const Piece& b) { return Before(a.member, b.member); });
    std::string ordered;
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (i + 1 == pieces.size() || NameOf(pieces[i].member) != NameOf(pieces[i + 1].member)) {
        ordered.append(out_, pieces[i].member.begin, pieces[i].size);
      }
    }
    out_.replace(members_[first].begin, std::string::npos, ordered);
  }

  std::string& out_;
  std::vector<size_t> first_members_;  // of each container that is open, in `members_`
  std::vector<Member> members_;
};

// "123e-2" as a person writes it, where that is not long.
std::string PlainNumber(std::string_view form) {
  constexpr int64_t kMostZeros = 20;
  const size_t at = form.find('e');
  int64_t exponent = 0;
  if (at != std::string_view::npos) {
    std::from_chars(form.data() + at + 1, form.data() + form.size(), exponent);
  }
  const bool negative = form.starts_with('-');
  std::string digits(form.substr(negative ? 1 : 0, at - (negative && at != std::string_view::npos ? 1 : 0)));
  const auto count = static_cast<int64_t>(digits.size());
  if (exponent > kMostZeros || exponent < -count - kMostZeros) {
    return std::string(form);
  }
  if (exponent >= 0) {
    digits.append(static_cast<size_t>(exponent), '0');
  } else {
    if (-exponent >= count) {
      digits.insert(0, static_cast<size_t>(-exponent - count + 1), '0');
    }
    digits.insert(digits.size() - static_cast<size_t>(-exponent), ".");
  }
  return (negative ? "-" : "") + digits;
}

class FormReader {
 public:
  explicit FormReader(std::string_view form) : form_(form) {}

  bool Read() {
    do {
      if (!open_.empty() && form_.starts_with(open_.back())) {
        json_.push_back(open_.back());
        form_.remove_prefix(1);
        open_.pop_back();
        first_ = false;
        if (!Take(',')) {
          return false;
        }
        continue;
      }
      if (!ReadValue()) {
        return false;
      }
    } while (!open_.empty());
    return form_.empty();
  }
  const std::string& json() const { return json_; }

 private:
  bool Take(char c) {
    const bool there = form_.starts_with(c);
    form_.remove_prefix(there ? 1 : 0);
    return there;
  }

  // With its name, if it is a member; of a container only the beginning.
  bool ReadValue() {
    if (!open_.empty()) {
      json_ += std::exchange(first_, false) ? "" : ",";
      if (open_.back() == '}') {
        if (!ReadText()) {
          return false;
        }
        json_.push_back(':');
      }
    }
    if (form_.starts_with('{') || form_.starts_with('[')) {
      json_.push_back(form_.front());
      open_.push_back(form_.front() == '{' ? '}' : ']');
      form_.remove_prefix(1);
      first_ = true;
      return true;
    }
    if (form_.starts_with('s')) {
      return ReadText() && Take(',');
    }
    const std::string_view token = form_.substr(0, form_.find(','));
    if (token.empty() || token.size() == form_.size()) {
      return false;
    }
    if (token == "n" || token == "t" || token == "f") {
      json_ += token == "n" ? "null" : token == "t" ? "true" : "false";
    } else if (token.find_first_not_of("-0123456789e") == std::string_view::npos) {
      json_ += PlainNumber(token);
    } else {
      return false;
    }
    form_.remove_prefix(token.size() + 1);
    return true;
  }

  bool ReadText() {
    size_t size = 0;
    if (!Take('s')) {
      return false;
    }
    const auto parsed = std::from_chars(form_.data(), form_.data() + form_.size(), size);
    form_.remove_prefix(static_cast<size_t>(parsed.ptr - form_.data()));
    if (!Take(':') || form_.size() < size) {
      return false;
    }
    json_ += nlohmann::json(std::string(form_.substr(0, size)))
                 .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    form_.remove_prefix(size);
    return true;
  }

  std::string_view form_;
  std::string json_;
  std::string open_;  // what ends each container
  bool first_ = true;
};

}  // namespace

bool AppendJsonOfForm(std::string_view form, std::string* out) {
  FormReader reader(form);
  if (!reader.Read()) {
    return false;
  }
  out->append(reader.json());
  return true;
}

bool AppendJsonForm(std::string_view json, std::string* out) {
  const size_t begin = out->size();
  FormBuilder builder(out);
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &builder)) {
    out->resize(begin);
    return false;
  }
  return true;
}

}  // namespace crossfade::apply
