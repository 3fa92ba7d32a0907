#include "db/mysql/charset.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/db_mysql/server.h"

namespace crossfade::mysql {
namespace {

TEST(Utf8, IsWellFormedOrNot) {
  for (const std::string_view good :
       {std::string_view(""), std::string_view("\0", 1), std::string_view("plain ascii, longer than one block"),
        std::string_view("é"), std::string_view("aaaaaaaaaaaaaaaé"), std::string_view("\xEF\xBF\xBF"),
        std::string_view("\xED\x9F\xBF"), std::string_view("\xEE\x80\x80"), std::string_view("😀"),
        std::string_view("\xF4\x8F\xBF\xBF"), std::string_view("\xC2\x80"), std::string_view("\xE0\xA0\x80")}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (const std::string_view bad :
       {"\x80", "\xC3", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE2\x82", "\xE2\x28\xA1", "\xF0\x9F\x98", "aaaaaaaa\x80",
        "\xC3\xC3", "\xE2\x82\xC3", "12345678é\xFE"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
}

// These need no server.
std::string Wide(const char* charset, std::string_view bytes) {
  Charsets charsets(nullptr);
  const auto converter = charsets.Get(charset);
  EXPECT_TRUE(converter.has_value());
  EXPECT_FALSE((*converter)->passes_through());
  std::string out = "kept ";
  const bool good = (*converter)->Convert(bytes, &out);
  EXPECT_EQ(out.substr(0, 5), "kept ");
  EXPECT_TRUE(good || out == "kept ");
  return good ? out.substr(5) : "bad";
}

TEST(WideCharsets, AreDecodedHere) {
  using namespace std::string_view_literals;
  EXPECT_EQ(Wide("ucs2", "\x00\x41\x20\xAC\x00\x00"sv), "A€\0"sv);
  EXPECT_EQ(Wide("ucs2", "\x00"sv), "bad");
  EXPECT_EQ(Wide("ucs2", "\xD8\x3D\xDE\x00"sv), "bad");
  EXPECT_EQ(Wide("ucs2", ""sv), "");
  EXPECT_EQ(Wide("utf16", "\xD8\x3D\xDE\x00\x00\xE9"sv), "😀é");
  EXPECT_EQ(Wide("utf16", "\xD8\x3D"sv), "bad");
  EXPECT_EQ(Wide("utf16", "\x00\x41\xDE\x00"sv), "bad");
  EXPECT_EQ(Wide("utf16", "\xD8\x3D\x00\x41"sv), "bad");
  EXPECT_EQ(Wide("utf16", "\xDB\xFF\xDF\xFF"sv), "\xF4\x8F\xBF\xBF");
  EXPECT_EQ(Wide("utf16le", "\x3D\xD8\x00\xDE\xE9\x00"sv), "😀é");
  EXPECT_EQ(Wide("utf32", "\x00\x01\xF6\x00\x00\x00\x00\x41"sv), "😀A");
  EXPECT_EQ(Wide("utf32", "\x00\x11\x00\x00"sv), "bad");
  EXPECT_EQ(Wide("utf32", "\xFF\xFF\xFF\xFF"sv), "bad");
  EXPECT_EQ(Wide("utf32", "\x00\x00\xD8\x00"sv), "bad");
  EXPECT_EQ(Wide("utf32", "\x00\x00\x00"sv), "bad");
}

TEST(Utf8Charsets, PassThrough) {
  Charsets charsets(nullptr);
  for (const char* name : {"utf8mb4", "utf8mb3", "ascii"}) {
    SCOPED_TRACE(name);
    const auto converter = charsets.Get(name);
    ASSERT_OK(converter);
    EXPECT_TRUE((*converter)->passes_through());
    EXPECT_EQ(charsets.Get(name).value(), *converter);  // shared
    std::string out = "x";
    EXPECT_TRUE((*converter)->Convert("plain", &out));
    EXPECT_EQ((*converter)->Convert("é", &out), std::string(name) != "ascii");
    EXPECT_FALSE((*converter)->Convert("\xE9", &out));
    EXPECT_EQ(out, std::string(name) == "ascii" ? "xplain" : "xplainé");
  }
}

class CharsetServerTest : public ServerTest {
 protected:
  static std::string Hex(std::string_view bytes) {
    std::string digits;
    for (const char c : bytes) {
      digits += fmt::format("{:02X}", static_cast<uint8_t>(c));
    }
    return digits;
  }
  std::vector<std::string> ServerCharsets() {
    std::vector<std::string> names;
    const auto rows = connection_->Rows("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS");
    EXPECT_TRUE(rows.has_value());
    for (const auto& row : *rows) {
      if (row[0] != "binary") {
        names.push_back(*row[0]);
      }
    }
    return names;
  }
};
INSTANTIATE_ON_SERVERS(CharsetServerTest);

TEST_P(CharsetServerTest, UnknownSetIsRefused) {
  Charsets charsets(connection_.get());
  for (const char* name : {"klingon", "", "binary", "latin1 COLLATE x", "'"}) {
    const auto converter = charsets.Get(name);
    ASSERT_FALSE(converter.has_value()) << name;
    EXPECT_EQ(converter.error().code, "CF1120");
    EXPECT_EQ(converter.error().error_class, ErrorClass::kConfig);
  }
}

// Random characters, as the server stores them in each of its sets, come back as the server itself gives them.
TEST_P(CharsetServerTest, AgreesWithTheServerOnText) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  Charsets charsets(connection_.get());
  for (const std::string& name : ServerCharsets()) {
    SCOPED_TRACE(name);
    const auto converter = charsets.Get(name);
    ASSERT_OK(converter);
    std::string utf32;
    for (int i = 0; i < 3000; ++i) {
      uint32_t code = 0;
      switch (random() % 5) {
        case 0:
          code = random() % 0x180;
          break;
        case 1:
          code = random() % 0x3000;
          break;
        case 2:
          code = 0x3000 + random() % 0x7000;
          break;
        case 3:
          code = random() % 0xD800;
          break;
        default:
          code = random() % 2 == 0 ? 0xE000 + random() % 0x2000 : 0x10000 + random() % 0x100000;
      }
      // tis620 has several codes that mean "no character", which it gives as U+FFFD, and one of which it stores
      // for that, and for the same place in the planes above.
      utf32 += fmt::format("{:08X}", (code & 0xFFFF) == 0xFFFD ? 0x41 : code);
    }
    const auto row =
        connection_->Rows(fmt::format("SELECT text, HEX(CONVERT(text USING utf8mb4)) FROM (SELECT "
                                      "CONVERT(CONVERT(x'{}' USING utf32) USING {}) AS text) "
                                      "AS t",
                                      utf32, name));
    ASSERT_OK(row);
    ASSERT_TRUE(row->at(0).at(0).has_value()) << name;
    std::string out;
    EXPECT_TRUE((*converter)->Convert(*row->at(0).at(0), &out)) << name;
    EXPECT_EQ(Hex(out), row->at(0).at(1)) << name;
  }
}

// Random bytes: what we convert is what the server converts; what we refuse has no character there.
TEST_P(CharsetServerTest, AgreesWithTheServerOnBytes) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  Charsets charsets(connection_.get());
  for (const std::string& name : ServerCharsets()) {
    if (name == "ascii" || name == "utf8mb3") {
      continue;  // not stored: MySQL even ends the whole statement
    }
    SCOPED_TRACE(name);
    const auto converter = charsets.Get(name);
    ASSERT_OK(converter);
    size_t converted = 0;
    for (int round = 0; round < 40; ++round) {
      std::string sql;
      std::vector<std::string> texts;
      for (int i = 0; i < 40; ++i) {
        std::string bytes;
        for (unsigned n = random() % 6 + 1; n > 0; --n) {
          const auto byte = static_cast<char>(random() % 3 == 0 ? random() : random() | 0x80);
          bytes += byte;
        }
        sql += fmt::format("{}SELECT {} AS i, CONVERT(x'{}' USING {}) AS text", i == 0 ? "" : " UNION ALL ", i,
                           Hex(bytes), name);
        texts.push_back(std::move(bytes));
      }
      const auto rows = connection_->Rows(
          "SELECT HEX(text), HEX(CONVERT(text USING utf8mb4)), CHAR_LENGTH(text) = CHAR_LENGTH(CONVERT(text USING "
          "utf8mb4)) FROM (" +
          sql + ") AS t ORDER BY i");
      ASSERT_OK(rows);
      for (size_t i = 0; i < texts.size(); ++i) {
        const auto& row = rows->at(i);
        std::string out;
        if ((*converter)->Convert(texts[i], &out)) {
          ++converted;
          ASSERT_EQ(Hex(texts[i]), row[0]) << name;
          ASSERT_EQ(Hex(out), row[1]) << name << " " << Hex(texts[i]);
        } else {
          const std::string server = row[1].value_or("3F");
          const bool doubtful = row[0] != Hex(texts[i]) || row[2] != "1" || server.find("3F") != std::string::npos ||
                                server.find("EFBFBD") != std::string::npos || server.find("EDA") != std::string::npos ||
                                server.find("EDB") != std::string::npos;
          ASSERT_TRUE(doubtful) << name << " " << Hex(texts[i]) << " " << server;
        }
      }
    }
    if (name != "utf8mb4" && name != "utf8mb3" && name != "ascii" && name != "utf32" && name != "swe7") {
      EXPECT_GT(converted, 20u) << name;
    }
  }
}

TEST_P(CharsetServerTest, ConvertsLongTextFast) {
  Charsets charsets(connection_.get());
  const auto converter = charsets.Get("latin1");
  ASSERT_OK(converter);
  std::string text(4 << 20, 'a');
  for (size_t i = 0; i < text.size(); i += 50) {
    text[i] = '\xE9';
  }
  std::string out;
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE((*converter)->Convert(text, &out));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(500));
  EXPECT_EQ(out.size(), text.size() + (text.size() + 49) / 50);
}

}  // namespace
}  // namespace crossfade::mysql
