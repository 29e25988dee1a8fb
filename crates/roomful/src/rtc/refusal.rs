//! Why a call of the RTC API is not carried out: the cloud's codes, said once in the table below, and a message. What the rest of the
//! server refuses gets its code here.

use std::borrow::Cow;

use crate::code;
use crate::error::ApiError;

/// A macro, since an enum, its texts and a list of them all cannot come of one table otherwise.
macro_rules! codes {
    ($($name:ident $text:literal $english:literal $chinese:literal)*) => {
        /// What an answer says that is no success.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code {
            $(#[doc = $english] $name,)*
        }

        impl Code {
            /// All of the table.
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];

            /// What is answered; some say more behind a dot.
            pub(super) const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What it means, in a line.
            pub(super) const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $english,)*
                }
            }

            /// The same for those who ask for it in Chinese.
            const fn meaning_in_chinese(self) -> &'static str {
                match self {
                    $(Self::$name => $chinese,)*
                }
            }
        }
    };
}

codes! {
    InvalidAuthorization "AuthFailure.InvalidAuthorization" "the signature is missing or cannot be read, or leaves out content-type or host" "签名缺失或格式错误"
    InvalidSecretId "AuthFailure.InvalidSecretId" "the SecretId has not the form of one" "密钥格式非法"
    SecretIdNotFound "AuthFailure.SecretIdNotFound" "the key does not exist, or is disabled" "密钥不存在或已禁用"
    SignatureExpire "AuthFailure.SignatureExpire" "the caller's clock and the server's are more than 5 minutes apart" "签名过期"
    SignatureFailure "AuthFailure.SignatureFailure" "the signature does not match" "签名错误"
    TokenFailure "AuthFailure.TokenFailure" "a token of temporary credentials was sent; there are none" "token 错误"
    ForbiddenAction "AuthFailure.UnauthorizedOperation" "the key may not call this action" "请求未授权"
    InvalidAction "InvalidAction" "there is no such action" "接口不存在"
    ActionOffline "ActionOffline" "the action was retired" "接口已下线"
    NoSuchVersion "NoSuchVersion" "the version is not 2019-07-22" "接口版本不存在"
    UnsupportedProtocol "UnsupportedProtocol" "the method is neither POST nor GET" "协议不支持"
    MissingParameter "MissingParameter" "a parameter is missing" "缺少参数"
    InvalidParameter "InvalidParameter" "a parameter is of the wrong type or form, or out of its range" "参数错误"
    InvalidParameterValue "InvalidParameterValue" "a parameter has a value that is not allowed" "参数取值错误"
    UnknownParameter "UnknownParameter" "a parameter that the action does not have" "未知参数"
    InvalidRequest "InvalidRequest" "the body is of another kind, too slow or cut off" "请求体格式错误"
    RequestLimitExceeded "RequestLimitExceeded" "the action is called too often, or too much waits; retry in a moment" "请求的次数超过了频率限制"
    RequestSizeLimitExceeded "RequestSizeLimitExceeded" "the request is too long" "请求包超过限制大小"
    ResponseSizeLimitExceeded "ResponseSizeLimitExceeded" "the answer would be too long" "返回包超过限制大小"
    UnauthorizedOperation "UnauthorizedOperation" "the key may not act on this app" "未授权操作"
    UnsupportedOperation "UnsupportedOperation" "this server does not have it" "操作不支持"
    FailedOperation "FailedOperation" "it cannot be done" "操作失败"
    InternalError "InternalError" "the server has failed, as when its disk is full; retry" "内部错误"
    ServiceUnavailable "ServiceUnavailable" "the server is shutting down; retry" "当前服务暂时不可用"
}

/// A refusal on its way to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(super) code: Code,
    /// What stands behind the code's dot, such as the parameter that it is about.
    pub(super) detail: Option<Cow<'static, str>>,
    /// What was wrong, in English.
    pub(super) message: Cow<'static, str>,
}

/// In which language a caller wants messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Language {
    #[default]
    English,
    Chinese,
}

impl Language {
    /// By the text of `X-TC-Language`.
    pub(super) fn named(text: &str) -> Self {
        if text.eq_ignore_ascii_case("zh-CN") { Self::Chinese } else { Self::English }
    }
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: None, message: message.into() }
    }

    /// With more behind the code's dot.
    pub(super) fn of(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// The code as it is answered.
    pub(super) fn code(&self) -> Cow<'static, str> {
        match &self.detail {
            None => self.code.text().into(),
            Some(detail) => format!("{}.{detail}", self.code.text()).into(),
        }
    }

    /// The message in a language. What was wrong exactly is said in English always.
    pub(super) fn message(&self, language: Language) -> Cow<'_, str> {
        match language {
            Language::English => Cow::Borrowed(&self.message),
            Language::Chinese => Cow::Owned(format!("{}：{}", self.code.meaning_in_chinese(), self.message)),
        }
    }
}

impl From<tc3::Error> for Refusal {
    fn from(error: tc3::Error) -> Self {
        use tc3::Error as E;
        let code = match &error {
            E::Malformed(_) | E::NotSigned(_) | E::UnknownMethod => Code::InvalidAuthorization,
            E::NoTime | E::Unreadable(_) => Code::InvalidParameter,
            E::Expired { .. } => Code::SignatureExpire,
            E::WrongDate | E::WrongSignature => Code::SignatureFailure,
        };
        Self::new(code, error.to_string())
    }
}

/// What rooms refuse to an app's own server.
impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let (code, detail) = match error.code {
            code::Code::RoomNotFound => (Code::FailedOperation, Some("RoomNotExist")),
            code::Code::NotAMember => (Code::FailedOperation, Some("UserNotExist")),
            code::Code::TooOften => (Code::RequestLimitExceeded, None),
            code::Code::Invalid => (Code::InvalidParameter, None),
            code::Code::Internal => (Code::InternalError, None),
            _ => (Code::FailedOperation, None),
        };
        Self { code, detail: detail.map(Cow::Borrowed), message: error.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_there_twice() {
        for (at, code) in Code::ALL.iter().enumerate() {
            assert!(Code::ALL[..at].iter().all(|other| other.text() != code.text()), "{code:?}");
        }
    }

    #[test]
    fn who_wants_chinese_is_told_the_kind_of_trouble_in_it() {
        let refusal = Refusal::new(Code::MissingParameter, "RoomId is missing").of("RoomId");

        assert_eq!(refusal.code(), "MissingParameter.RoomId");
        assert_eq!(refusal.message(Language::named("en-US")), "RoomId is missing");
        assert_eq!(refusal.message(Language::named("zh-CN")), "缺少参数：RoomId is missing");
    }
}
