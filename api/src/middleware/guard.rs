//! Who may pass, and how often. Around each route, with what that route needs (`routes/mod.rs` says it for every one of them), and
//! before anything of the request but its head is read.

use actix_web::{
    Error, HttpMessage,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};
use caraway_shared::access::Scope;

use crate::{
    callers::{Caller, unauthorized},
    extract::{KnownParameters, wait_asked},
    problem::{Code, Problem},
    quotas::Standing,
    shares::{NoRoom, Share},
    state::ApiState,
};

/// What a route needs of who calls it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Needs {
    /// Open to everybody who reaches the port.
    Nothing,
    /// A key with this scope.
    Submit,
    /// The same.
    Read,
    /// The same.
    Cancel,
    /// The same; it is about the caller's own user, and about others only for the operator.
    Admin,
    /// The scope `admin` of user 1.
    Operator,
}

impl Needs {
    /// The scope of it.
    pub(crate) const fn scope(self) -> Option<Scope> {
        match self {
            Self::Nothing => None,
            Self::Submit => Some(Scope::Submit),
            Self::Read => Some(Scope::Read),
            Self::Cancel => Some(Scope::Cancel),
            Self::Admin | Self::Operator => Some(Scope::Admin),
        }
    }
}

/// Lets through who has what the route needs and asks for nothing that it does not know, and leaves the caller for the
/// handler.
pub(super) async fn guard<B: MessageBody>(
    needs: Needs,
    known: KnownParameters,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let (admitted, standing) = match needs.scope() {
        None => (Ok(None), None),
        Some(scope) => {
            let (admitted, standing) = admit(needs, scope, &request).await;
            (admitted.map(Some), standing)
        }
    };
    // who may not pass is not told what there is to ask for
    let admitted = admitted.and_then(|caller| known.check(request.query_string()).map(|()| caller));
    let mut response = match admitted {
        Ok(None) => next.call(request).await?.map_into_left_body(),
        Ok(Some(caller)) => match waiting_room(&request, &caller) {
            Ok(None) => {
                request.extensions_mut().insert(caller);
                next.call(request).await?.map_into_left_body()
            }
            Ok(Some(room)) => {
                request.extensions_mut().insert(caller.clone());
                let _room = room;
                waited(needs, request, caller, next).await?
            }
            Err(problem) => request.error_response(problem).map_into_right_body(),
        },
        Err(problem) => request.error_response(problem).map_into_right_body(),
    };
    if let Some(standing) = standing {
        standing.tell(response.headers_mut());
    }
    Ok(response)
}

/// Who it is, or why it may not pass; and how it stands with its limit, if it has one: refused requests count as well.
async fn admit(needs: Needs, scope: Scope, request: &ServiceRequest) -> (Result<Caller, Problem>, Option<Standing>) {
    let Some(state) = request.app_data::<Data<ApiState>>() else {
        return (Err(Problem::internal("the state is missing")), None);
    };
    let caller = match state.callers.caller(request.headers()).await {
        Ok(caller) => caller,
        Err(problem) => return (Err(problem), None),
    };
    let standing = state.quotas.request(&caller).await;
    match standing.and_then(|standing| standing.refusal()) {
        Some(problem) => (Err(problem), standing),
        None => (check(needs, scope, caller), standing),
    }
}

/// A read that waits ends with the key that it is asked with. What changes something goes on: nobody could tell what it did.
async fn waited<B: MessageBody>(
    needs: Needs,
    request: ServiceRequest,
    caller: Caller,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let callers = request.app_data::<Data<ApiState>>().map(|state| state.callers.clone());
    let Some(callers) = callers.filter(|_| needs == Needs::Read) else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    let asked = request.request().clone();
    tokio::select! {
        answer = next.call(request) => Ok(answer?.map_into_left_body()),
        () = callers.until_gone(&caller) => Ok(ServiceResponse::from_err(unauthorized(), asked).map_into_right_body()),
    }
}

/// Who wants to wait takes a place, of which a user has only so many; the others do nothing here.
fn waiting_room(request: &ServiceRequest, caller: &Caller) -> Result<Option<Share>, Problem> {
    let Some(state) = request.app_data::<Data<ApiState>>() else { return Ok(None) };
    if wait_asked(request.request()).is_zero() {
        return Ok(None);
    }
    let full = |NoRoom| Problem::new(Code::Overloaded, "too many requests wait; ask without waiting, or later");
    state.shares.waits.try_take(caller.owner, 1).map(Some).map_err(full)
}

fn check(needs: Needs, scope: Scope, caller: Caller) -> Result<Caller, Problem> {
    if !caller.has(scope) {
        let detail = format!("this key does not have the scope {scope}");
        return Err(Problem::new(Code::MissingScope, detail).with("scope", scope.as_str()));
    }
    if needs == Needs::Operator && !caller.is_operator() {
        let detail = "this needs the scope admin of user 1, who runs the installation";
        return Err(Problem::new(Code::MissingScope, detail).with("scope", scope.as_str()));
    }
    Ok(caller)
}
