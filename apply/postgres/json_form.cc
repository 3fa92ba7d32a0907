#include "apply/postgres/json_form.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
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

}  // namespace

bool AppendJsonForm(std::string_view json, std::string* out) {
  FormBuilder builder;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &builder)) {
    return false;
  }
  out->append(builder.form());
  return true;
}

}  // namespace crossfade::apply
