//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): publishing and watching by a URL and a bearer token, without the
//! gateway. The token is a UserSig, which names its app and user; the URL names the room.
//!
//! | | |
//! |---|---|
//! | `POST /whip/ROOM[?seat=N]` | enters the room, takes a seat where there are any, publishes |
//! | `POST /whep/ROOM[?user=NAME]` | watches: the one named, else whoever is on the first seat or publishes first |
//! | `PATCH` on what was answered as `Location` | trickled candidates are accepted, and not needed: we are ICE-lite |
//! | `DELETE` on it | ends it |

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, AUTHORIZATION, CONTENT_TYPE, LINK, LOCATION, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::routing::any;
use http_body_util::{BodyExt as _, Limited};
use media::{SourceKey, StreamKind, Wanted, Watched};
use rooms::{IfTaken, LeaveCause, SdkAppId, UserId};
use serde_json::json;

use super::streams::stream_type;
use crate::app::App;
use crate::clock;
use crate::error::ApiError;
use crate::hub::Hub;
use crate::rest;
use crate::room_cell::RoomCell;
use crate::session::Session;

/// The most bytes an offer may have.
const MAX_OFFER: usize = 256 * 1024;

const SDP: &str = "application/sdp";

/// What went wrong, as HTTP says it; the body has our code too (RFC 9457).
struct Refusal {
    status: StatusCode,
    error: ApiError,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let status = match error.code {
            60003..=60006 | 60012 | 60016 | 70001..=70999 => StatusCode::UNAUTHORIZED,
            60007 | ApiError::INTERNAL => StatusCode::SERVICE_UNAVAILABLE,
            100_004 => StatusCode::NOT_FOUND,
            100_005 | 100_008 | ApiError::NOT_ALLOWED | 100_016 | 100_206 | 10_017 => StatusCode::FORBIDDEN,
            100_200..=100_299 => StatusCode::CONFLICT,
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
        Self { status, error: ApiError::new(ApiError::INVALID, message) }
    }

    fn response(self) -> Response<Body> {
        let Self { status, error } = self;
        let title = status.canonical_reason().unwrap_or_default();
        let body =
            json!({"title": title, "status": status.as_u16(), "detail": error.message, "code": error.code});
        let mut response = answer(status, body.to_string());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
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
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Location, Link"));
    response
}

fn allowed(methods: &'static str, status: StatusCode) -> Response<Body> {
    let mut response = answer(status, String::new());
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(methods));
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
                        Ok(Err(refusal)) => refusal.response(),
                        Err(error) => {
                            Refusal::from(ApiError::new(ApiError::INTERNAL, error.to_string())).response()
                        }
                    }
                }
                Method::OPTIONS => allowed("POST, OPTIONS", StatusCode::NO_CONTENT),
                _ => allowed("POST, OPTIONS", StatusCode::METHOD_NOT_ALLOWED),
            }
        })
    };
    let resource = any(
        |State(hub): State<Arc<Hub>>, Path((_, resource)): Path<(String, String)>, request: Request| async move {
            let result = match *request.method() {
                Method::DELETE => end(&hub, &resource, request.headers()),
                Method::PATCH => trickle(&hub, &resource, request.headers()),
                Method::OPTIONS => return allowed("PATCH, DELETE, OPTIONS", StatusCode::NO_CONTENT),
                _ => return allowed("PATCH, DELETE, OPTIONS", StatusCode::METHOD_NOT_ALLOWED),
            };
            result.unwrap_or_else(Refusal::response)
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
fn authorise(hub: &Hub, headers: &HeaderMap) -> Result<(Arc<App>, UserId), Refusal> {
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = match token.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => "",
    };
    if token.is_empty() {
        return Err(ApiError::new(70002, "a UserSig is needed: Authorization: Bearer <UserSig>").into());
    }
    let decoded = usersig::decode(token).map_err(ApiError::from)?;
    let claims = decoded.unverified();
    let app = rest::require_app(hub, SdkAppId(claims.sdkappid))?;
    let user = UserId::parse(&claims.identifier)?;
    app.credentials().verify(user.as_str(), token).map_err(ApiError::from)?;
    Ok((app, user))
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
    let (app, user) = authorise(&hub, request.headers())?;
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(SDP) {
        let trouble = "the body must be an SDP offer of type application/sdp";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, trouble));
    }
    let seat = match query(&request, "seat") {
        None => None,
        Some(text) => {
            Some(text.parse::<u32>().map_err(|_| ApiError::invalid("seat", "is no seat's number"))?)
        }
    };
    let watched = query(&request, "user");
    let body = Limited::new(request.into_body(), MAX_OFFER).collect().await;
    let body = body.map_err(|_| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the offer is too long"))?;
    let offer = String::from_utf8(body.to_bytes().to_vec())
        .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the offer is no UTF-8"))?;

    let cell = app.room(&room)?;
    hub.import_if_new(&app, &user).await?;
    let mut name = [0; 12];
    getrandom::fill(&mut name).map_err(|error| ApiError::new(ApiError::INTERNAL, error.to_string()))?;
    let resource = crate::wire::hex(&name);
    let sdp = match way {
        Way::Whip => publish(&hub, &cell, &user, seat, offer, &resource).await?,
        Way::Whep => watch(&hub, &cell, &user, watched, offer, &resource).await?,
    };

    let mut response = answer(StatusCode::CREATED, sdp);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(SDP));
    let room = percent_encoding::utf8_percent_encode(&room, percent_encoding::NON_ALPHANUMERIC);
    let location = HeaderValue::try_from(format!("/{}/{room}/{resource}", way.name()));
    headers.extend(location.map(|location| (LOCATION, location)));
    for server in super::ice_servers(&hub.config.media, user.as_str(), clock::now().unix_seconds()) {
        for link in server.links() {
            headers.extend(HeaderValue::try_from(link).map(|link| (LINK, link)));
        }
    }
    Ok(response)
}

/// A session of `user` in the room, which nothing but its media will keep.
fn enter(hub: &Hub, cell: &Arc<RoomCell>, user: &UserId) -> Result<Arc<Session>, Refusal> {
    if hub.store.is_behind() {
        return Err(ApiError::from(store::Error::Behind).into());
    }
    let begun = hub.sessions.begin(cell.app.clone(), user.clone());
    let (session, _) = begun.map_err(|error| ApiError::new(ApiError::INTERNAL, error.to_string()))?;
    hub.note_session(&session);
    if let Err(error) = cell.enter(&session, hub.config.member_list.cap, clock::now()) {
        hub.sessions.end(&session);
        return Err(error.into());
    }
    Ok(session)
}

async fn publish(
    hub: &Arc<Hub>,
    cell: &Arc<RoomCell>,
    user: &UserId,
    seat: Option<u32>,
    offer: String,
    resource: &str,
) -> Result<String, Refusal> {
    let session = enter(hub, cell, user)?;
    let published = async {
        take_seat(hub, cell, user, seat).await?;
        let (answer, rights) =
            hub.live.publish(cell, &session, offer, Vec::new(), &[], Some(resource.into())).await?;
        if answer.published.iter().any(|stream| rights.allow(stream.kind)) {
            return Ok(answer.sdp);
        }
        let first = answer.published.first().map_or(StreamKind::Main, |stream| stream.kind);
        let refused = cell.read()?.require_may_publish(user, super::device(first), clock::now());
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

/// Puts a publisher on a seat, where the room has any and it sits on none.
async fn take_seat(
    hub: &Arc<Hub>,
    cell: &Arc<RoomCell>,
    user: &UserId,
    seat: Option<u32>,
) -> Result<(), Refusal> {
    let sits = {
        let room = cell.read()?;
        if room.seats().is_empty() {
            return Ok(());
        }
        room.seat_of(user.as_str())
    };
    if sits.is_some() && (seat.is_none() || sits == seat) {
        return Ok(());
    }
    hub.change(&cell.app, cell.room_id.as_str(), None, user.as_str(), |room, _| {
        if sits.is_none() {
            room.require_may_take_seat(user)?;
        }
        let outcome = match (sits, seat) {
            (Some(_), Some(seat)) => room.move_to_seat(user, seat, IfTaken::Refuse)?,
            _ => room.take_seat(user, seat)?,
        };
        Ok(((), outcome))
    })
    .await?;
    Ok(())
}

async fn watch(
    hub: &Arc<Hub>,
    cell: &Arc<RoomCell>,
    user: &UserId,
    watched: Option<String>,
    offer: String,
    resource: &str,
) -> Result<String, Refusal> {
    let is_listed = {
        let room = cell.read()?;
        room.require_not_banned(user.as_str(), clock::now())?;
        room.info().is_player_listed
    };
    let whom = match watched {
        Some(name) => UserId::parse_field("user", &name)?.to_string(),
        None => first_publisher(cell)?,
    };
    let streams = wanted(cell, &offer, &whom);
    if !is_listed {
        let answer = hub.live.play(cell, user, offer, streams, resource.into()).await?;
        return Ok(answer.sdp);
    }
    let session = enter(hub, cell, user)?;
    match hub.live.watch(cell, &session, offer, streams, Some(resource.into())).await {
        Ok(answer) => Ok(answer.sdp),
        Err(error) => {
            hub.end_session(&session, LeaveCause::Leave);
            Err(error.into())
        }
    }
}

/// Whom a player gets that names nobody: the first seat's member who publishes, else any who does, else the owner, who
/// may come later.
fn first_publisher(cell: &RoomCell) -> Result<String, Refusal> {
    let room = cell.read()?;
    let streams = cell.streams();
    let publishes = |user: &str| {
        let is_picture = |member: &&super::MemberStreams| {
            member.member == user && member.streams.iter().any(|stream| stream.stream_type != "audio")
        };
        streams.told().iter().any(|member| is_picture(&member))
    };
    let on_seats = room.seats().iter().filter_map(|seat| seat.occupant.as_ref()).map(UserId::as_str);
    let first = on_seats.chain([room.info().owner.as_str()]).find(|user| publishes(user)).map(String::from);
    let any = || streams.told().first().map(|member| member.member.clone());
    Ok(first.or_else(any).unwrap_or_else(|| room.info().owner.to_string()))
}

/// What fills a player's m-lines: its first sound and first picture are the member's, a second picture its screen. A
/// member that shows only its screen is seen by that.
fn wanted(cell: &RoomCell, offer: &str, whom: &str) -> Vec<Watched> {
    let has = |kind: StreamKind| {
        let streams = cell.streams();
        let own = streams.told().iter().find(|member| member.member == whom);
        own.is_some_and(|member| member.streams.iter().any(|one| one.stream_type == stream_type(kind)))
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

fn trickle(hub: &Hub, resource: &str, headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
    authorise(hub, headers)?;
    if !hub.live.has_resource(resource) {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such session; it has ended"));
    }
    Ok(answer(StatusCode::NO_CONTENT, String::new()))
}

fn end(hub: &Arc<Hub>, resource: &str, headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
    authorise(hub, headers)?;
    if hub.live.end_resource(hub, resource, LeaveCause::Leave) {
        return Ok(answer(StatusCode::OK, String::new()));
    }
    Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such session; it has ended"))
}
