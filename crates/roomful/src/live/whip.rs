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
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, LINK,
    LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::routing::any;
use hall::session::LinkId;
use hall::{Command, Offer, Planned};
use media::{OfferedLine, SourceKey, StreamKind, Wanted, Watched};
use rooms::{Device, LeaveCause, SdkAppId, UserId};
use serde_json::json;

use super::{Resource, sdpfrag, unit};
use crate::app::App;
use crate::clock;
use crate::door::Peer;
use crate::error::{ApiError, Code};
use crate::halls::OpenRoom;
use crate::quota::{Place, REFUSED_PAUSE};
use crate::rest::{self, BodyTrouble};
use crate::server::Server;
use crate::session::Session;
use crate::tenant::Credentials;
use crate::terminal;
use crate::told::ByNode;

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

/// What one may ask of a URL: by which methods, and with a body of which type, as the header says that tells of it.
struct Allowed {
    methods: &'static str,
    body: (&'static str, &'static str),
}

impl Allowed {
    const ENDPOINT: Self = Self { methods: "POST, GET, OPTIONS", body: ("accept-post", SDP) };
    const SESSION: Self =
        Self { methods: "PATCH, DELETE, GET, OPTIONS", body: ("accept-patch", SDP_FRAGMENT) };

    /// What OPTIONS is told, and whoever asks by another method.
    fn answer(&self, method: &Method) -> Response<Body> {
        let mut response = match *method {
            Method::OPTIONS => answer(StatusCode::OK, String::new()),
            _ => {
                let trouble = format!("{method} is nothing to ask here; there are {}", self.methods);
                let error = ApiError::new(Code::Invalid, trouble);
                Refusal { status: StatusCode::METHOD_NOT_ALLOWED, error }.response()
            }
        };
        let headers = response.headers_mut();
        let (body, kind) = self.body;
        headers.insert(ALLOW, HeaderValue::from_static(self.methods));
        headers.insert(HeaderName::from_static(body), HeaderValue::from_static(kind));
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(self.methods));
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("Authorization, Content-Type, If-Match"),
        );
        response
    }
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

/// What a URL stands for.
enum Target {
    Room(String),
    /// A session in a room.
    Session(String, String),
    Nothing,
}

impl Target {
    fn read(way: Way, path: &str) -> Self {
        let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(way.name()));
        let decoded =
            |part: &str| percent_encoding::percent_decode_str(part).decode_utf8().ok().map(String::from);
        let parts: Option<Vec<String>> = rest
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|rest| rest.split('/').map(decoded).collect());
        match parts.as_deref() {
            Some([room]) if !room.is_empty() => Self::Room(room.clone()),
            Some([room, name]) if !room.is_empty() && !name.is_empty() => {
                Self::Session(room.clone(), name.clone())
            }
            _ => Self::Nothing,
        }
    }
}

pub(crate) fn routes(server: Arc<Server>) -> Router {
    let serve = |way: Way| {
        any(move |State(server): State<Arc<Server>>, request: Request| async move {
            match serve(server, way, request).await {
                Ok(response) => response,
                Err(refusal) => refusal.after_a_moment().await,
            }
        })
    };
    let mut routes = Router::new();
    for way in [Way::Whip, Way::Whep] {
        for path in ["", "/", "/{*rest}"] {
            routes = routes.route(&format!("/{}{path}", way.name()), serve(way));
        }
    }
    routes.with_state(server)
}

async fn serve(server: Arc<Server>, way: Way, request: Request) -> Result<Response<Body>, Refusal> {
    let target = Target::read(way, request.uri().path());
    match (target, request.method().clone()) {
        (Target::Room(room), Method::POST) => {
            // To its end even when the client hangs up meanwhile: what was begun is either told or undone.
            tokio::spawn(begin(server, way, room, request)).await.map_err(ApiError::internal)?
        }
        (Target::Room(_), Method::GET | Method::HEAD) => Ok(answer(StatusCode::NO_CONTENT, String::new())),
        (Target::Session(room, name), method)
            if [Method::DELETE, Method::PATCH, Method::GET, Method::HEAD].contains(&method) =>
        {
            let whose = Whose { way, room, name };
            match method {
                Method::DELETE => end(&server, &whose, request.headers()),
                Method::PATCH => patch(&server, &whose, request).await,
                _ => own(&server, &whose, request.headers())
                    .map(|_| answer(StatusCode::NO_CONTENT, String::new())),
            }
        }
        (Target::Session(..), method) => Ok(Allowed::SESSION.answer(&method)),
        (Target::Room(_), method) | (Target::Nothing, method @ Method::OPTIONS) => {
            Ok(Allowed::ENDPOINT.answer(&method))
        }
        (Target::Nothing, _) => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "nothing is here: the URL is /whip/ROOM or /whep/ROOM, without a slash at its end",
        )),
    }
}

/// When a token has to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holding {
    Now,
    /// What was begun with it can be ended with it: sessions are longer than UserSigs may be.
    Once,
}

/// Whose the bearer token is.
fn authorise(
    server: &Server,
    headers: &HeaderMap,
    holding: Holding,
) -> Result<(Arc<App>, UserId, Arc<Credentials>), Refusal> {
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
    let app = rest::require_app(server, SdkAppId(claims.sdkappid))?;
    let user = UserId::parse(&claims.identifier)?;
    let credentials = app.credentials();
    match holding {
        Holding::Now => _ = credentials.verify(user.as_str(), token).map_err(ApiError::from)?,
        Holding::Once => credentials.verify_once(user.as_str(), token).map_err(ApiError::from)?,
    }
    Ok((app, user, credentials))
}

fn query(request: &Request, name: &str) -> Option<String> {
    let pairs = request.uri().query().unwrap_or_default().split('&');
    let value = pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1;
    Some(percent_encoding::percent_decode_str(value).decode_utf8().ok()?.into_owned())
}

async fn begin(
    server: Arc<Server>,
    way: Way,
    room: String,
    request: Request,
) -> Result<Response<Body>, Refusal> {
    if server.is_draining() {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down"));
    }
    let (app, user, credentials) = authorise(&server, request.headers(), Holding::Now)?;
    let limits = &server.config.limits;
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
    let peer = request.extensions().get::<Peer>().map(|Peer(peer)| *peer);
    let address = peer.map(|peer| server.chronicle.address(terminal::address(peer, request.headers())));
    let client = Arc::new(terminal::client(request.headers(), address.unwrap_or_default()));
    let node = request.extensions().get::<ByNode>().map(|by| by.node);
    let offer = read_body(&server, &app, request, Holding::Now).await?;
    quota.spend_command(limits, offer.len(), Instant::now())?;

    let cell = app.room(&room)?;
    server.import_if_new(&app, &user).await?;
    let is_published = way == Way::Whip;
    let (name, entity_tag) = (secret()?, secret()?);
    let _place = place;
    let resource =
        Resource { name, user, client, offer, entity_tag, is_published, node, credentials, _place };
    let sdp = match way {
        Way::Whip => publish(&server, &cell, seat, &resource).await?,
        Way::Whep => watch(&server, &cell, watched, &resource).await?,
    };

    let mut response = answer(StatusCode::CREATED, sdp);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(SDP));
    let room = percent_encoding::utf8_percent_encode(&room, percent_encoding::NON_ALPHANUMERIC);
    let location = HeaderValue::try_from(format!("/{}/{room}/{}", way.name(), resource.name));
    headers.extend(location.map(|location| (LOCATION, location)));
    headers.extend(quoted(&resource.entity_tag).map(|tag| (ETAG, tag)));
    let user = resource.user.as_str();
    let (config, session) = (&server.config.media, &resource.entity_tag);
    let now = clock::now().unix_seconds();
    for server in super::ice_servers(config, &server.live, (user, session), node, now).await {
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
async fn read_body(
    server: &Arc<Server>,
    app: &Arc<App>,
    request: Request,
    holding: Holding,
) -> Result<String, Refusal> {
    let (head, body) = request.into_parts();
    let body =
        rest::read_body(body, MAX_OFFER, [&app.bodies, &server.bodies]).await.map_err(
            |trouble| match trouble {
                BodyTrouble::TooLong => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"),
                BodyTrouble::TooSlow => {
                    Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 s")
                }
                BodyTrouble::CutOff => Refusal::new(StatusCode::BAD_REQUEST, "the body was cut off"),
                BodyTrouble::NoRoom => ApiError::from(trouble).into(),
            },
        )?;
    if body.is_late {
        authorise(server, &head.headers, holding)?;
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
async fn enter(
    server: &Arc<Server>,
    cell: &Arc<OpenRoom>,
    resource: &Resource,
) -> Result<Arc<Session>, Refusal> {
    let Resource { user, client, credentials, .. } = resource;
    let session = server.begin_media_session(&cell.app, user, credentials)?;
    session.set_client((**client).clone());
    // It has no connection to lose.
    let entered = server.enter_room(&session, LinkId::default(), cell, None).await;
    if let Err(error) = entered {
        server.end_session(&session, LeaveCause::Leave);
        return Err(error.into());
    }
    Ok(session)
}

async fn publish(
    server: &Arc<Server>,
    cell: &Arc<OpenRoom>,
    seat: Option<u32>,
    resource: &Resource,
) -> Result<String, Refusal> {
    let Resource { user, offer, .. } = resource;
    require_acceptable(&read_lines(offer)?, Way::Whip)?;
    let session = enter(server, cell, resource).await?;
    let published = async {
        let sit = Planned::SitToPublish { index: seat };
        cell.ask(session.as_member(), None, Command::Planned(sit)).await?;
        let (offered, kept) = (Offer::default(), Some(resource.clone()));
        let (answer, rights) =
            server.live.publish(cell, &session, offer.clone(), Vec::new(), offered, kept).await?;
        if answer.published.iter().any(|stream| rights.allow(stream.kind)) {
            return Ok(answer.sdp);
        }
        let first = answer.published.first().map_or(StreamKind::Main, |stream| stream.kind);
        let refused = cell.read()?.require_may_publish(user, unit::device(first), clock::now());
        Err(refused.err().map_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, NOTHING), Refusal::from))
    };
    let result = published.await;
    if result.is_err() {
        server.end_session(&session, LeaveCause::Leave);
    }
    result
}

async fn watch(
    server: &Arc<Server>,
    cell: &Arc<OpenRoom>,
    watched: Option<String>,
    resource: &Resource,
) -> Result<String, Refusal> {
    let Resource { user, offer, .. } = resource;
    let lines = read_lines(offer)?;
    require_acceptable(&lines, Way::Whep)?;
    let is_listed = {
        let room = cell.read()?;
        room.require_not_banned(user.as_str(), clock::now())?;
        room.info().is_player_listed
    };
    let whom = match watched {
        Some(name) => UserId::parse_field("user", &name)?.to_string(),
        None => first_publisher(cell)?,
    };
    let streams = wanted(cell, lines, &whom);
    let untaken = server.live.units().untaken(resource.node, offer, &streams).await;
    if let Some(trouble) = untaken.map_err(ApiError::from)? {
        return Err(not_acceptable(trouble));
    }
    if !is_listed {
        let answer = server.live.play(server, cell, user, offer.clone(), streams, resource.clone()).await?;
        return Ok(answer.sdp);
    }
    let session = enter(server, cell, resource).await?;
    match server.live.watch(cell, &session, offer.clone(), streams, None, Some(resource.clone())).await {
        Ok(answer) => Ok(answer.sdp),
        Err(error) => {
            server.end_session(&session, LeaveCause::Leave);
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
fn wanted(cell: &OpenRoom, lines: Vec<OfferedLine>, whom: &str) -> Vec<Watched> {
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
    let kinds = lines.into_iter().filter(|line| line.receives && line.trouble.is_none()).map(|line| {
        let kind = if line.is_video { pictures.next() } else { sounds.next() };
        (line.mid, kind)
    });
    kinds
        .filter_map(|(mid, kind)| {
            let source = SourceKey { room: cell.media_key, user: whom.into(), kind: kind? };
            Some(Watched { mid, source: Some(source), wanted: Wanted::default() })
        })
        .collect()
}

/// What an offer is told that sends nothing.
const NOTHING: &str =
    "the offer has nothing to publish: its m-lines are a=sendonly or a=sendrecv, of those that send";

fn read_lines(offer: &str) -> Result<Vec<OfferedLine>, Refusal> {
    Ok(media::offered_lines(offer).map_err(ApiError::from)?)
}

/// Refuses an offer of which nothing would come.
fn not_acceptable(message: String) -> Refusal {
    Refusal { status: StatusCode::NOT_ACCEPTABLE, error: ApiError::new(Code::Invalid, message) }
}

/// Refuses at once what would not come about, or only in part (RFC 9725 4.4.2, 4.4.3): a microphone, a camera and a screen are all
/// that one publishes, all of which can be taken; and of a player's m-lines at least one.
fn require_acceptable(lines: &[OfferedLine], way: Way) -> Result<(), Refusal> {
    let flows = |line: &&OfferedLine| if way == Way::Whip { line.sends } else { line.receives };
    let count = |is_video: bool| lines.iter().filter(flows).filter(|line| line.is_video == is_video).count();
    if count(false) + count(true) == 0 {
        let trouble = match way {
            Way::Whip => NOTHING,
            Way::Whep => {
                "the offer receives nothing: its m-lines are a=recvonly or a=sendrecv, of those that play"
            }
        };
        return Err(Refusal::new(StatusCode::BAD_REQUEST, trouble));
    }
    if way == Way::Whip && (count(false) > 1 || count(true) > 2) {
        let trouble = "too many streams: one with sound and at most two with pictures (camera and screen) can be published";
        return Err(not_acceptable(trouble.into()));
    }
    let mut troubles = lines.iter().filter(flows).map(|line| line.trouble.clone());
    match way {
        Way::Whip => troubles.flatten().next().map_or(Ok(()), |trouble| Err(not_acceptable(trouble))),
        Way::Whep if troubles.any(|trouble| trouble.is_none()) => Ok(()),
        Way::Whep => {
            let trouble = lines.iter().filter(flows).find_map(|line| line.trouble.clone());
            Err(not_acceptable(trouble.unwrap_or_default()))
        }
    }
}

/// A session, as its URL names it.
struct Whose {
    way: Way,
    room: String,
    name: String,
}

fn gone(server: &Server, name: &str) -> Refusal {
    let ended = server.live.reason(name).map(|reason| format!("this session was ended: {reason}"));
    let message = ended.unwrap_or_else(|| "there is no such session; it has ended".into());
    Refusal { status: StatusCode::NOT_FOUND, error: ApiError::new(Code::Invalid, message) }
}

/// What is there under a name, for whose it is.
fn own(server: &Server, whose: &Whose, headers: &HeaderMap) -> Result<(Arc<App>, Resource), Refusal> {
    let (app, user, _) = authorise(server, headers, Holding::Once)?;
    let limits = &server.config.limits;
    app.quotas.of(&user, limits).spend_command(limits, 0, Instant::now())?;
    let Whose { way, room, name } = whose;
    let is_there = |(cell, resource): &(Arc<OpenRoom>, Resource)| {
        resource.is_published == (*way == Way::Whip) && cell.room_id.as_str() == room
    };
    let (cell, resource) = server.live.resource(name).filter(is_there).ok_or_else(|| gone(server, name))?;
    if !Arc::ptr_eq(&cell.app, &app.tenant) || resource.user != user {
        let trouble = "this session is another user's: use the UserSig that it was begun with";
        return Err(ApiError::new(Code::NotAllowed, trouble).into());
    }
    Ok((app, resource))
}

/// Starts ICE over, when the client has a new name and password; else there is nothing to do (RFC 9725 4.3).
async fn patch(server: &Arc<Server>, whose: &Whose, request: Request) -> Result<Response<Body>, Refusal> {
    let (app, resource) = own(server, whose, request.headers())?;
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
    let text = read_body(server, &app, request, Holding::Once).await?;
    let limits = &server.config.limits;
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
    let agreed = server
        .live
        .restart_ice(server, Resource { offer: fresh.restart(&resource.offer), entity_tag, ..resource });
    let mut response = answer(StatusCode::OK, sdpfrag::of_answer(&agreed.await?.sdp));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(SDP_FRAGMENT));
    headers.extend(tag.map(|tag| (ETAG, tag)));
    Ok(response)
}

fn end(server: &Arc<Server>, whose: &Whose, headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
    own(server, whose, headers)?;
    server.live.end_resource(server, &whose.name, LeaveCause::Leave);
    Ok(answer(StatusCode::OK, String::new()))
}
