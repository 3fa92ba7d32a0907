#include "apply/postgres/json_form.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace crossfade::apply {

namespace {

// "-12.340e2" as sign, digits without zeros at either end, and a power of ten.
std::string NumberForm(std::string_view text) {
  const bool negative = text.starts_with('-');
  text.remove_prefix(negative ? 1 : 0);
  const size_t exponent_at = text.find_first_of("eE");
  int64_t exponent = 0;
  if (exponent_at != std::string_view::npos) {
    std::string_view digits = text.substr(exponent_at + 1);
    digits.remove_prefix(digits.starts_with('+') ? 1 : 0);
    std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
  }
  std::string digits;
  bool behind_point = false;
  for (const char c : text.substr(0, exponent_at)) {
    if (c == '.') {
      behind_point = true;
      continue;
    }
    digits.push_back(c);
    exponent -= behind_point ? 1 : 0;
  }
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  while (digits.ends_with('0')) {
    digits.pop_back();
    ++exponent;
  }
  if (digits.empty()) {
    return "0";
  }
  return (negative ? "-" : "") + digits + "e" + std::to_string(exponent);
}

std::string Sized(char kind, std::string_view text) {
  return kind + std::to_string(text.size()) + ":" + std::string(text);
}

// Builds the form of each container when it ends.
class FormBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  const std::string& form() const { return form_; }

  bool null() override { return Add("n"); }
  bool boolean(bool value) override { return Add(value ? "t" : "f"); }
  bool number_integer(number_integer_t value) override { return Add(NumberForm(std::to_string(value))); }
  bool number_unsigned(number_unsigned_t value) override { return Add(NumberForm(std::to_string(value))); }
  bool number_float(number_float_t, const string_t& text) override { return Add(NumberForm(text)); }
  bool string(string_t& text) override { return Add(Sized('s', text)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override {
    open_.push_back({true, {}, {}, {}});
    return true;
  }
  bool key(string_t& name) override {
    open_.back().name = name;
    return true;
  }
  bool end_object() override {
    std::string form = "{";
    for (const auto& [name, value] : open_.back().members) {
      form += Sized('s', name) + value;
    }
    open_.pop_back();
    return Add(form + "}");
  }
  bool start_array(std::size_t) override {
    open_.push_back({false, {}, {}, {}});
    return true;
  }
  bool end_array() override {
    const std::string form = "[" + open_.back().elements + "]";
    open_.pop_back();
    return Add(form);
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  struct Open {
    bool object;
    std::string name;
    std::map<std::string, std::string> members;
    std::string elements;
  };

  bool Add(std::string form) {
    form.push_back(',');
    if (open_.empty()) {
      form_ = std::move(form);
    } else if (open_.back().object) {
      open_.back().members[open_.back().name] = std::move(form);
    } else {
      open_.back().elements += form;
    }
    return true;
  }

  std::vector<Open> open_;
  std::string form_;
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
  FormBuilder builder;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &builder)) {
    return false;
  }
  out->append(builder.form());
  return true;
}

}  // namespace crossfade::apply
