#include "apply/postgres/json_form.h"

#include <gtest/gtest.h>

namespace crossfade::apply {
namespace {

std::string Form(std::string_view json) {
  std::string form;
  EXPECT_TRUE(AppendJsonForm(json, &form)) << json;
  return form;
}

TEST(JsonFormTest, OneFormForOneValue) {
  EXPECT_EQ(Form(R"({"b": 1, "a": [1.50, null, true]})"), Form(R"({"a":[15e-1,null,true],"b":1.0})"));
  EXPECT_EQ(Form(R"({"a": 1, "a": 2})"), Form(R"({"a": 2})"));
  EXPECT_EQ(Form(R"({"bb": {"y": 1, "x": [2]}, "a": 0, "c": {"long": 1, "b": 2}})"),
            Form(R"({"a": 0, "c": {"b": 2, "long": 1}, "bb": {"x": [2], "y": 1}})"));
  EXPECT_EQ(Form(R"([{"b": {"x": 1}, "a": [{"z": 1, "y": 2}], "b": {"y": 2}, "a": 3}, 4])"),
            Form(R"([{"a": 3, "b": {"y": 2}}, 4])"));
  EXPECT_EQ(Form(R"("\u00e9\/")"), Form("\"é/\""));
  EXPECT_EQ(Form("-0.0"), Form("0"));
  EXPECT_EQ(Form("100"), Form("1e2"));
  EXPECT_EQ(Form("18446744073709551616"), Form("18446744073709551616.0"));
}

TEST(JsonFormTest, NoDigitIsLost) {
  EXPECT_NE(Form("0.1"), Form("0.10000000000000001"));
  EXPECT_NE(Form("12345678901234567890123456789.1"), Form("12345678901234567890123456789.2"));
  EXPECT_NE(Form("9007199254740993"), Form("9007199254740992"));
}

TEST(JsonFormTest, DifferentValuesDiffer) {
  EXPECT_NE(Form(R"("1")"), Form("1"));
  EXPECT_NE(Form("null"), Form("false"));
  EXPECT_NE(Form("[]"), Form("{}"));
  EXPECT_NE(Form("[[1],2]"), Form("[[1,2]]"));
  EXPECT_NE(Form(R"({"a": {"b": 1}})"), Form(R"({"a": "{b:1}"})"));
  EXPECT_NE(Form(R"(["a", "b"])"), Form(R"(["a,b"])"));
  EXPECT_NE(Form(R"({"a": 1, "a": 2})"), Form(R"({"a": 1})"));
  EXPECT_NE(Form(R"({"a": {"b": 1}, "c": 2})"), Form(R"({"a": {"b": 1, "c": 2}})"));
}

TEST(JsonFormTest, WhatIsNoDocumentHasNone) {
  std::string form = "as it was";
  EXPECT_FALSE(AppendJsonForm("{\"a\":", &form));
  EXPECT_FALSE(AppendJsonForm("", &form));
  EXPECT_EQ(form, "as it was");
}

TEST(JsonFormTest, AFormIsADocumentAgain) {
  for (const std::string json :
       {R"({"a":[1,-2.5,{"b":null}],"c":"x,\"}\u0001ü","d":true,"e":[],"f":{},"g":false})", R"("")", "[[],[0,100]]",
        "0.001", "-1230", "12345678901234567890.125", "1e300", "-4e-300", R"({"":{"":""}})"}) {
    std::string form;
    ASSERT_TRUE(AppendJsonForm(json, &form)) << json;
    std::string again;
    ASSERT_TRUE(AppendJsonOfForm(form, &again)) << form;
    std::string form_again;
    ASSERT_TRUE(AppendJsonForm(again, &form_again)) << again;
    EXPECT_EQ(form_again, form) << again;
  }
  std::string out;
  for (const char* wrong : {"", "{", "{s1:a", "s9:abc,", "x,", "1e0", "[1e0,", "n,n,"}) {
    EXPECT_FALSE(AppendJsonOfForm(wrong, &out)) << wrong;
  }
  EXPECT_TRUE(AppendJsonOfForm("{s1:f1e-1,s1:n14e0,s1:ts1:x,},", &out));
  EXPECT_EQ(out, R"({"f":0.1,"n":14,"t":"x"})");
}

}  // namespace
}  // namespace crossfade::apply
