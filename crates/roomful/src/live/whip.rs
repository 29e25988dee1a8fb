//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): publishing and watching by a URL and a bearer token, without the
//! gateway. The token is a UserSig, which names its app and user; the URL names the room.
//!
//! | | |
//! |---|---|
//! | `POST /whip/ROOM[?seat=N]` | enters the room, takes a seat where there are any, publishes |
//! | `POST /whep/ROOM[?user=NAME]` | watches: the one named, else whoever is on the first seat or publishes first |
//! | `PATCH` on what was answered as `Location` | starts ICE over; trickled candidates are not needed: we are ICE-lite |
//! | `DELETE` on it | ends it |
//! | `GET` on either | nothing, successfully (RFC 9725 4.1) |

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, LINK,
    LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::routing::any;
use hall::{Command, Offer, Planned};
use media::{SourceKey, StreamKind, Wanted, Watched};
use rooms::{Device, LeaveCause, SdkAppId, UserId};
use serde_json::json;

use super::{Resource, sdpfrag, unit};
use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::halls::OpenRoom;
use crate::hub::Hub;
use crate::quota::{Place, REFUSED_PAUSE};
use crate::rest::{self, BodyTrouble};
use crate::session::Session;
use crate::tenant::Credentials;

/// The most bytes an offer may have.
const MAX_OFFER: usize = 256 * 1024;

const SDP: &str = "application/sdp";
const SDP_FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// What went wrong, as HTTP says it; the body has our code too (RFC 9457).
struct Refusal {
    status: StatusCode,
    error: ApiError,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        use Code as C;
        let status = match error.code {
            C::SigExpired | C::SigMissing | C::SigInvalid => StatusCode::UNAUTHORIZED,
            C::SigOfOtherKey | C::SigOfOtherUser | C::SigOfOtherApp | C::AppNotFound => {
                StatusCode::UNAUTHORIZED
            }
            C::TooOften | C::Internal => StatusCode::SERVICE_UNAVAILABLE,
            C::RoomNotFound | C::NoPeer => StatusCode::NOT_FOUND,
            C::NotAMember
            | C::NotAllowed
            | C::RoomFull
            | C::Banned
            | C::PasswordWanted
            | C::Muted
            | C::ApplyFirst => StatusCode::FORBIDDEN,
            C::SeatLocked | C::SeatTaken | C::NoSeatFree | C::NoSeats | C::OnSeatAlready | C::NotOnSeat => {
                StatusCode::CONFLICT
            }
            _ => StatusCode::BAD_REQUEST,
        };
        Self { status, error }
    }
}

impl From<rooms::Error> for Refusal {
    fn from(error: rooms::Error) -> Self {
        ApiError::from(error).into()
    }
}

impl Refusal {
    fn new(status: StatusCode, message: &'static str) -> Self {
        Self { status, error: ApiError::new(Code::Invalid, message) }
    }

    /// As [`response`](Self::response); whoever asks for more than is allowed waits for the refusal, lest asking be free.
    async fn after_a_moment(self) -> Response<Body> {
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            tokio::time::sleep(REFUSED_PAUSE).await;
        }
        self.response()
    }

    fn response(self) -> Response<Body> {
        let Self { status, error } = self;
        let title = status.canonical_reason().unwrap_or_default();
        let body = json!({"title": title, "status": status.as_u16(), "detail": error.message, "code": error.code.number()});
        let mut response = answer(status, body.to_string());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Pages of other origins may use it: the token is what counts.
fn answer(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Location, Link, ETag"));
    response
}

/// What one may ask of a URL: `methods`, with a body of `kind`.
fn allowed(
    methods: &'static str,
    (body, kind): (&'static str, &'static str),
    status: StatusCode,
) -> Response<Body> {
    let mut response = answer(status, String::new());
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(methods));
    headers.insert(HeaderName::from_static(body), HeaderValue::from_static(kind));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Authorization, Content-Type, If-Match"),
    );
    response
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Whip,
    Whep,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Whip => "whip",
            Way::Whep => "whep",
        }
    }
}

pub(crate) fn routes(hub: Arc<Hub>) -> Router {
    let endpoint = |way: Way| {
        any(move |State(hub): State<Arc<Hub>>, Path(room): Path<String>, request: Request| async move {
            match *request.method() {
                Method::POST => {
                    // To its end even when the client hangs up meanwhile: what was begun is either told or undone.
                    let work = tokio::spawn(begin(hub, way, room, request));
                    match work.await {
                        Ok(Ok(response)) => response,
                        Ok(Err(refusal)) => refusal.after_a_moment().await,
                        Err(error) => Refusal::from(ApiError::internal(error)).response(),
                    }
                }
                Method::GET | Method::HEAD => answer(StatusCode::NO_CONTENT, String::new()),
                Method::OPTIONS => allowed("POST, GET, OPTIONS", ("accept-post", SDP), StatusCode::OK),
                _ => allowed("POST, GET, OPTIONS", ("accept-post", SDP), StatusCode::METHOD_NOT_ALLOWED),
            }
        })
    };
    let resource = any(
        |State(hub): State<Arc<Hub>>, Path((_, resource)): Path<(String, String)>, request: Request| async move {
            let accepted = ("accept-patch", SDP_FRAGMENT);
            let result = match *request.method() {
                Method::DELETE => end(&hub, &resource, request.headers()),
                Method::PATCH => patch(&hub, &resource, request).await,
                Method::GET | Method::HEAD => own(&hub, &resource, request.headers())
                    .map(|_| answer(StatusCode::NO_CONTENT, String::new())),
                Method::OPTIONS => return allowed("PATCH, DELETE, GET, OPTIONS", accepted, StatusCode::OK),
                _ => return allowed("PATCH, DELETE, GET, OPTIONS", accepted, StatusCode::METHOD_NOT_ALLOWED),
            };
            match result {
                Ok(response) => response,
                Err(refusal) => refusal.after_a_moment().await,
            }
        },
    );
    Router::new()
        .route("/whip/{room}", endpoint(Way::Whip))
        .route("/whep/{room}", endpoint(Way::Whep))
        .route("/whip/{room}/{resource}", resource.clone())
        .route("/whep/{room}/{resource}", resource)
        .with_state(hub)
}

/// Whose the bearer token is.
fn authorise(hub: &Hub, headers: &HeaderMap) -> Result<(Arc<App>, UserId, Arc<Credentials>), Refusal> {
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = match token.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => "",
    };
    if token.is_empty() {
        return Err(
            ApiError::new(Code::SigMissing, "a UserSig is needed: Authorization: Bearer <UserSig>").into()
        );
    }
    let decoded = usersig::decode(token).map_err(ApiError::from)?;
    let claims = decoded.unverified();
    let app = rest::require_app(hub, SdkAppId(claims.sdkappid))?;
    let user = UserId::parse(&claims.identifier)?;
    let credentials = app.credentials();
    credentials.verify(user.as_str(), token).map_err(ApiError::from)?;
    Ok((app, user, credentials))
}

fn query(request: &Request, name: &str) -> Option<String> {
    let pairs = request.uri().query().unwrap_or_default().split('&');
    let value = pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1;
    Some(percent_encoding::percent_decode_str(value).decode_utf8().ok()?.into_owned())
}

async fn begin(hub: Arc<Hub>, way: Way, room: String, request: Request) -> Result<Response<Body>, Refusal> {
    if hub.is_draining() {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down"));
    }
    let (app, user, credentials) = authorise(&hub, request.headers())?;
    let limits = &hub.config.limits;
    let quota = app.quotas.of(&user, limits);
    // It enters, may take a seat, and begins to publish: all of it is kept.
    quota.spend_change(limits, Instant::now())?;
    let place = Arc::new(Place::of_media(quota.clone(), limits)?);
    require_type(request.headers(), SDP, "the body must be an SDP offer of type application/sdp")?;
    let seat = match query(&request, "seat") {
        None => None,
        Some(text) => {
            Some(text.parse::<u32>().map_err(|_| ApiError::invalid("seat", "is no seat's number"))?)
        }
    };
    let watched = query(&request, "user");
    let offer = read_body(&hub, &app, request).await?;
    quota.spend_command(limits, offer.len(), Instant::now())?;

    let cell = app.room(&room)?;
    hub.import_if_new(&app, &user).await?;
    let resource =
        Resource { name: secret()?, user, offer, entity_tag: secret()?, credentials, _place: place };
    let sdp = match way {
        Way::Whip => publish(&hub, &cell, seat, &resource).await?,
        Way::Whep => watch(&hub, &cell, watched, &resource).await?,
    };

    let mut response = answer(StatusCode::CREATED, sdp);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(SDP));
    let room = percent_encoding::utf8_percent_encode(&room, percent_encoding::NON_ALPHANUMERIC);
    let location = HeaderValue::try_from(format!("/{}/{room}/{}", way.name(), resource.name));
    headers.extend(location.map(|location| (LOCATION, location)));
    headers.extend(quoted(&resource.entity_tag).map(|tag| (ETAG, tag)));
    let user = resource.user.as_str();
    let (config, session) = (&hub.config.media, &resource.entity_tag);
    for server in super::ice_servers(config, &hub.live, user, session, clock::now().unix_seconds()) {
        for link in server.links() {
            headers.extend(HeaderValue::try_from(link).map(|link| (LINK, link)));
        }
    }
    Ok(response)
}

fn require_type(headers: &HeaderMap, wanted: &str, trouble: &'static str) -> Result<(), Refusal> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, trouble))
}

/// The body, of one who may send it, also when it has come.
async fn read_body(hub: &Arc<Hub>, app: &Arc<App>, request: Request) -> Result<String, Refusal> {
    let (head, body) = request.into_parts();
    let body = rest::read_body(body, MAX_OFFER, hub, app).await.map_err(|trouble| match trouble {
        BodyTrouble::TooLong => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"),
        BodyTrouble::TooSlow => {
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 s")
        }
        BodyTrouble::CutOff => Refusal::new(StatusCode::BAD_REQUEST, "the body was cut off"),
        BodyTrouble::NoRoom => ApiError::from(trouble).into(),
    })?;
    if body.is_late {
        authorise(hub, &head.headers)?;
    }
    String::from_utf8(body.bytes.to_vec())
        .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the body is no UTF-8"))
}

/// Letters that nobody guesses.
fn secret() -> Result<String, ApiError> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(ApiError::internal)?;
    Ok(crate::wire::hex(&bytes))
}

/// A strong entity tag (RFC 9110 8.8.3).
fn quoted(entity_tag: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{entity_tag}\"")).ok()
}

/// A session of `user` in the room, which nothing but its media will keep.
async fn enter(hub: &Arc<Hub>, cell: &Arc<OpenRoom>, user: &UserId) -> Result<Arc<Session>, Refusal> {
    let session = hub.begin_media_session(&cell.app, user)?;
    hub.note_session(&session);
    if let Err(error) = hub.enter_room(&session, cell, None).await {
        hub.end_session(&session, LeaveCause::Leave);
        return Err(error.into());
    }
    Ok(session)
}

async fn publish(
    hub: &Arc<Hub>,
    cell: &Arc<OpenRoom>,
    seat: Option<u32>,
    resource: &Resource,
) -> Result<String, Refusal> {
    let Resource { user, offer, .. } = resource;
    require_publishable(offer)?;
    let session = enter(hub, cell, user).await?;
    let published = async {
        let sit = Planned::SitToPublish { index: seat };
        hub.ask(cell, session.as_member(), None, Command::Planned(sit)).await?;
        let (offered, kept) = (Offer::default(), Some(resource.clone()));
        let (answer, rights) =
            hub.live.publish(cell, &session, offer.clone(), Vec::new(), offered, kept).await?;
        if is_partial(&answer.sdp) {
            let trouble = "a part of the offer cannot be received: offer Opus, and VP8, VP9, H.264 or AV1";
            return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, trouble));
        }
        if answer.published.iter().any(|stream| rights.allow(stream.kind)) {
            return Ok(answer.sdp);
        }
        let first = answer.published.first().map_or(StreamKind::Main, |stream| stream.kind);
        let refused = cell.read()?.require_may_publish(user, unit::device(first), clock::now());
        Err(refused.err().map_or_else(
            || Refusal::new(StatusCode::BAD_REQUEST, "the offer has nothing to publish"),
            Refusal::from,
        ))
    };
    let result = published.await;
    if result.is_err() {
        hub.end_session(&session, LeaveCause::Leave);
    }
    result
}

async fn watch(
    hub: &Arc<Hub>,
    cell: &Arc<OpenRoom>,
    watched: Option<String>,
    resource: &Resource,
) -> Result<String, Refusal> {
    let Resource { user, offer, .. } = resource;
    let is_listed = {
        let room = cell.read()?;
        room.require_not_banned(user.as_str(), clock::now())?;
        room.info().is_player_listed
    };
    let whom = match watched {
        Some(name) => UserId::parse_field("user", &name)?.to_string(),
        None => first_publisher(cell)?,
    };
    let streams = wanted(cell, offer, &whom);
    if !is_listed {
        let answer = hub.live.play(hub, cell, user, offer.clone(), streams, resource.clone()).await?;
        return Ok(answer.sdp);
    }
    let session = enter(hub, cell, user).await?;
    match hub.live.watch(cell, &session, offer.clone(), streams, None, Some(resource.clone())).await {
        Ok(answer) => Ok(answer.sdp),
        Err(error) => {
            hub.end_session(&session, LeaveCause::Leave);
            Err(error.into())
        }
    }
}

/// Whom a player gets that names nobody: the first seat's member who publishes, else any who does, else the owner, who
/// may come later.
fn first_publisher(cell: &OpenRoom) -> Result<String, Refusal> {
    let hall = cell.hall();
    let room = hall.room().ok_or_else(|| rooms::Error::RoomNotFound(cell.room_id.to_string()))?;
    let told = hall.streams().told();
    let is_picture = |member: &&hall::MemberStreams| {
        member.streams.iter().any(|stream| stream.device != Device::Microphone)
    };
    let publishes = |user: &&UserId| told.iter().filter(is_picture).any(|member| member.member == **user);
    let on_seats = room.seats().iter().filter_map(|seat| seat.occupant.as_ref());
    let first = on_seats.chain([&room.info().owner]).find(publishes);
    let any = told.first().map(|member| &member.member);
    Ok(first.or(any).unwrap_or(&room.info().owner).to_string())
}

/// What fills a player's m-lines: its first sound and first picture are the member's, a second picture its screen. A
/// member that shows only its screen is seen by that.
fn wanted(cell: &OpenRoom, offer: &str, whom: &str) -> Vec<Watched> {
    let has = |kind: StreamKind| {
        let hall = cell.hall();
        let own = hall.streams().told().iter().find(|member| member.member.as_str() == whom);
        own.is_some_and(|member| member.streams.iter().any(|one| one.device == unit::device(kind)))
    };
    let pictures = match has(StreamKind::Sub) && !has(StreamKind::Main) {
        true => [StreamKind::Sub, StreamKind::Main],
        false => [StreamKind::Main, StreamKind::Sub],
    };
    let (mut sounds, mut pictures) = ([StreamKind::Audio].into_iter(), pictures.into_iter());
    let kinds = media::receiving_lines(offer).into_iter().map(|(mid, is_video)| {
        let kind = if is_video { pictures.next() } else { sounds.next() };
        (mid, kind)
    });
    kinds
        .filter_map(|(mid, kind)| {
            let source = SourceKey { room: cell.media_key, user: whom.into(), kind: kind? };
            Some(Watched { mid, source: Some(source), wanted: Wanted::default() })
        })
        .collect()
}

/// A microphone, a camera and a screen are all that one publishes (RFC 9725 4.4.2).
fn require_publishable(offer: &str) -> Result<(), Refusal> {
    let count = |kind: &str| offer.lines().filter(|line| line.starts_with(kind)).count();
    if count("m=audio ") <= 1 && count("m=video ") <= 2 {
        return Ok(());
    }
    let trouble =
        "too many streams: one with sound and at most two with pictures (camera and screen) can be published";
    Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, trouble))
}

/// Whether an answer turns a part of its offer down (RFC 9725 4.4.3).
fn is_partial(answer: &str) -> bool {
    answer.lines().any(|line| line.starts_with("m=audio 0 ") || line.starts_with("m=video 0 "))
}

fn gone() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no such session; it has ended")
}

/// What is there under a name, for whose it is.
fn own(hub: &Hub, name: &str, headers: &HeaderMap) -> Result<(Arc<App>, Resource), Refusal> {
    let (app, user, _) = authorise(hub, headers)?;
    let limits = &hub.config.limits;
    app.quotas.of(&user, limits).spend_command(limits, 0, Instant::now())?;
    let (cell, resource) = hub.live.resource(name).ok_or_else(gone)?;
    if !Arc::ptr_eq(&cell.app, &app.tenant) || resource.user != user {
        let trouble = "this session is another user's: use the UserSig that it was begun with";
        return Err(ApiError::new(Code::NotAllowed, trouble).into());
    }
    Ok((app, resource))
}

/// Starts ICE over, when the client has a new name and password; else there is nothing to do (RFC 9725 4.3).
async fn patch(hub: &Arc<Hub>, name: &str, request: Request) -> Result<Response<Body>, Refusal> {
    let (app, resource) = own(hub, name, request.headers())?;
    let trouble = "the body must be a fragment of SDP, of type application/trickle-ice-sdpfrag";
    require_type(request.headers(), SDP_FRAGMENT, trouble)?;
    let matched = request.headers().get(IF_MATCH).and_then(|value| value.to_str().ok()).map(String::from);
    let Some(matched) = matched else {
        let trouble = "If-Match is missing: the ETag of the latest answer, or * to start ICE over";
        return Err(Refusal::new(StatusCode::PRECONDITION_REQUIRED, trouble));
    };
    let is_current = |tag: &str| tag == "*" || tag.trim_matches('"') == resource.entity_tag;
    if !matched.split(',').any(|tag| is_current(tag.trim())) {
        let trouble = "If-Match names an ICE session that is over: use the ETag of the latest answer";
        return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, trouble));
    }
    let text = read_body(hub, &app, request).await?;
    let limits = &hub.config.limits;
    app.quotas.of(&resource.user, limits).spend_command(limits, text.len(), Instant::now())?;
    let fragment = sdpfrag::read(&text).ok_or_else(|| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "this is no fragment of SDP with an a=ice-ufrag and its a=ice-pwd",
        )
    })?;
    let fresh = fragment.credentials.filter(|credentials| !credentials.are_of(&resource.offer));
    let Some(fresh) = fresh else { return Ok(answer(StatusCode::NO_CONTENT, String::new())) };

    let entity_tag = secret()?;
    let tag = quoted(&entity_tag);
    let agreed =
        hub.live.restart_ice(hub, Resource { offer: fresh.restart(&resource.offer), entity_tag, ..resource });
    let mut response = answer(StatusCode::OK, sdpfrag::of_answer(&agreed.await?.sdp));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(SDP_FRAGMENT));
    headers.extend(tag.map(|tag| (ETAG, tag)));
    Ok(response)
}

fn end(hub: &Arc<Hub>, name: &str, headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
    own(hub, name, headers)?;
    hub.live.end_resource(hub, name, LeaveCause::Leave);
    Ok(answer(StatusCode::OK, String::new()))
}
