//! CatalogueService: departments, systems, resources, grants.
use super::caller::Called;
use super::licence_service::{change, page_size};
use super::page::PageTokens;
use crate::exchange::{Exchange, Order};
use crate::failure::{Failure, Reason};
use crate::library::catalogue;
use crate::library::record::View;
use crate::library::schema::Library;
use crate::policy::{Operation, Permit};
use crate::store::key_space::IndexKey;
use crate::wire::order::{Repeatable, ordered};
use crate::wire::proto::catalogue::v1::catalogue_service_server::CatalogueService;
use crate::wire::proto::catalogue::v1::{
    ApplyGrantRequest, ApplyGrantResponse, DecideGrantRequest, DecideGrantResponse, Department, Grant, GrantState,
    ListDepartmentsRequest, ListDepartmentsResponse, ListGrantsRequest, ListGrantsResponse, ListResourcesRequest,
    ListResourcesResponse, ListSystemsRequest, ListSystemsResponse, PutDepartmentRequest, PutDepartmentResponse,
    PutResourceRequest, PutResourceResponse, PutSystemRequest, PutSystemResponse, Resource, Role, WhoAmIRequest,
    WhoAmIResponse, WithdrawGrantRequest, WithdrawGrantResponse,
};
use crate::wire::proto::exchange::v1::{Payload, payload::Answer};
use crate::wire::proto::receipt::v1::Kind;
use prost::Message;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
#[derive(Clone)]
pub struct CatalogueRpc {
    exchange: Arc<Exchange>,
}

impl CatalogueRpc {
    /// The service over a hub.
    #[must_use]
    pub fn new(exchange: Arc<Exchange>) -> Self {
        Self { exchange }
    }

    async fn admitted<T>(&self, called: &Called<T>, operation: Operation) -> Result<(View, Permit), Failure> {
        let view = self.exchange.view().await?;
        let permit = self.exchange.admit(&view, &called.caller, operation).await?;
        Ok((view, permit))
    }

    async fn who(&self, called: &Called<WhoAmIRequest>) -> Result<WhoAmIResponse, Failure> {
        let (view, permit) = self.admitted(called, Operation::WhoAmI).await?;
        let system = permit.system().clone();
        let department = view.newest_of(Library::Department, "department", &system.department).await?;
        let department: Option<Department> = department.map(|o| o.body()).transpose()?;
        Ok(WhoAmIResponse {
            grants_in_force: self.exchange.policy.grants_in_force(&view, &system.uri).await?,
            system: Some(system),
            department,
            hub: self.exchange.hub.clone(),
            position: view.position,
            certificate_serial: called.caller.serial.clone(),
        })
    }

    /// Who may list which grants: one's own, those on one's department's resources, or all for authority and auditors.
    async fn grants(
        &self,
        called: &Called<ListGrantsRequest>,
        tokens: &PageTokens<'_>,
    ) -> Result<ListGrantsResponse, Failure> {
        let (view, permit) = self.admitted(called, Operation::ListGrants).await?;
        let m = &called.message;
        let system =
            if m.system.is_empty() && m.resource.is_empty() { called.caller.uri.as_str() } else { m.system.as_str() };
        let oversees = [Role::DataAuthority, Role::Auditor, Role::AuditAdministrator, Role::SecurityAdministrator];
        if system != called.caller.uri && !oversees.iter().any(|role| permit.has(*role)) {
            let resource = view.newest_of(Library::Resource, "resource", &m.resource).await?;
            let resource: Option<Resource> = resource.map(|o| o.body()).transpose()?;
            if resource.is_none_or(|r| r.source_department != permit.system().department) {
                return Err(Failure::new(Reason::RoleNotAllowed));
            }
        }
        let after = tokens.read(&m.page_token)?.map(IndexKey);
        let (grants, next) = catalogue::grants(&view, system, &m.resource, after, page_size(m.page_size)?).await?;
        Ok(ListGrantsResponse { grants, next_page_token: next.map(|key| tokens.make(&key.0)).unwrap_or_default() })
    }

    /// The state an application has: what its recorded change wrote.
    async fn state_of(&self, payload: &[u8]) -> Result<GrantState, Failure> {
        let payload = Payload::decode(payload).map_err(|e| Failure::new(Reason::Internal).because(e))?;
        let Some(Answer::Change(change)) = payload.answer else { return Ok(GrantState::Unspecified) };
        let Some(id) = change.records.first().map(|record| record.name.clone()) else {
            return Ok(GrantState::Unspecified);
        };
        let view = self.exchange.view().await?;
        let grant = view.newest_of(Library::Grant, "grant", &id).await?.map(|o| o.body::<Grant>()).transpose()?;
        Ok(grant.map_or(GrantState::Unspecified, |g| g.state()))
    }
}

#[tonic::async_trait]
impl CatalogueService for CatalogueRpc {
    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Result<Response<WhoAmIResponse>, Status> {
        let called = Called::of(request)?;
        self.who(&called).await.map(Response::new).map_err(|failure| called.failed(&failure))
    }

    async fn put_department(
        &self,
        request: Request<PutDepartmentRequest>,
    ) -> Result<Response<PutDepartmentResponse>, Status> {
        let called = Called::of(request)?;
        let m = &called.message;
        let body = m.department.clone().unwrap_or_default().encode_to_vec();
        let ordered = ordered(
            self.exchange.suite(),
            Kind::DepartmentChange,
            &m.request_id,
            Repeatable::Required,
            m.purpose.as_ref(),
            None,
            &[&body],
        );
        let order = Order::PutDepartment(m);
        let item = change(&self.exchange, &called, Operation::PutDepartment, order, ordered, &m.request_id).await?;
        Ok(Response::new(PutDepartmentResponse {
            payload: item.payload().clone(),
            receipt: Some(item.receipt().clone()),
        }))
    }

    async fn put_system(&self, request: Request<PutSystemRequest>) -> Result<Response<PutSystemResponse>, Status> {
        let called = Called::of(request)?;
        let m = &called.message;
        let body = m.system.clone().unwrap_or_default().encode_to_vec();
        let ordered = ordered(
            self.exchange.suite(),
            Kind::SystemChange,
            &m.request_id,
            Repeatable::Required,
            m.purpose.as_ref(),
            None,
            &[&body],
        );
        let order = Order::PutSystem(m);
        let item = change(&self.exchange, &called, Operation::PutSystem, order, ordered, &m.request_id).await?;
        Ok(Response::new(PutSystemResponse { payload: item.payload().clone(), receipt: Some(item.receipt().clone()) }))
    }

    async fn put_resource(
        &self,
        request: Request<PutResourceRequest>,
    ) -> Result<Response<PutResourceResponse>, Status> {
        let called = Called::of(request)?;
        let m = &called.message;
        let body = m.resource.clone().unwrap_or_default().encode_to_vec();
        let ordered = ordered(
            self.exchange.suite(),
            Kind::ResourceChange,
            &m.request_id,
            Repeatable::Required,
            m.purpose.as_ref(),
            None,
            &[&body],
        );
        let order = Order::PutResource(m);
        let item = change(&self.exchange, &called, Operation::PutResource, order, ordered, &m.request_id).await?;
        Ok(Response::new(PutResourceResponse {
            payload: item.payload().clone(),
            receipt: Some(item.receipt().clone()),
        }))
    }

    async fn list_departments(
        &self,
        request: Request<ListDepartmentsRequest>,
    ) -> Result<Response<ListDepartmentsResponse>, Status> {
        let called = Called::of(request)?;
        let tokens = PageTokens::new(&self.exchange, &called.caller, "departments");
        let page = async {
            let (view, _) = self.admitted(&called, Operation::ListDepartments).await?;
            let after = tokens.read(&called.message.page_token)?.map(IndexKey);
            catalogue::departments(&view, after, page_size(called.message.page_size)?).await
        };
        let (departments, next) = page.await.map_err(|failure| called.failed(&failure))?;
        let next_page_token = next.map(|key| tokens.make(&key.0)).unwrap_or_default();
        Ok(Response::new(ListDepartmentsResponse { departments, next_page_token }))
    }

    async fn list_systems(
        &self,
        request: Request<ListSystemsRequest>,
    ) -> Result<Response<ListSystemsResponse>, Status> {
        let called = Called::of(request)?;
        let tokens = PageTokens::new(&self.exchange, &called.caller, "systems");
        let page = async {
            let (view, permit) = self.admitted(&called, Operation::ListSystems).await?;
            let after = tokens.read(&called.message.page_token)?.map(IndexKey);
            let (mut systems, next) = catalogue::systems(&view, after, page_size(called.message.page_size)?).await?;
            let oversees = [
                Role::DataAuthority,
                Role::Auditor,
                Role::SystemAdministrator,
                Role::SecurityAdministrator,
                Role::AuditAdministrator,
            ];
            if !oversees.iter().any(|role| permit.has(*role)) {
                systems.retain(|system| system.department == permit.system().department);
            }
            Ok((systems, next))
        };
        let (systems, next) = page.await.map_err(|failure: Failure| called.failed(&failure))?;
        let next_page_token = next.map(|key| tokens.make(&key.0)).unwrap_or_default();
        Ok(Response::new(ListSystemsResponse { systems, next_page_token }))
    }

    async fn list_resources(
        &self,
        request: Request<ListResourcesRequest>,
    ) -> Result<Response<ListResourcesResponse>, Status> {
        let called = Called::of(request)?;
        let tokens = PageTokens::new(&self.exchange, &called.caller, "resources");
        let page = async {
            let (view, _) = self.admitted(&called, Operation::ListResources).await?;
            let after = tokens.read(&called.message.page_token)?.map(IndexKey);
            catalogue::resources(&view, after, page_size(called.message.page_size)?).await
        };
        let (resources, next) = page.await.map_err(|failure| called.failed(&failure))?;
        let next_page_token = next.map(|key| tokens.make(&key.0)).unwrap_or_default();
        Ok(Response::new(ListResourcesResponse { resources, next_page_token }))
    }

    async fn apply_grant(&self, request: Request<ApplyGrantRequest>) -> Result<Response<ApplyGrantResponse>, Status> {
        let called = Called::of(request)?;
        let m = &called.message;
        let body = m.grant.clone().unwrap_or_default().encode_to_vec();
        let ordered = ordered(
            self.exchange.suite(),
            Kind::GrantChange,
            &m.request_id,
            Repeatable::Required,
            m.purpose.as_ref(),
            None,
            &[&body],
        );
        let order = Order::ApplyGrant(m);
        let item = change(&self.exchange, &called, Operation::ApplyGrant, order, ordered, &m.request_id).await?;
        let state = self.state_of(item.payload()).await.map_err(|failure| called.failed(&failure))?;
        let (payload, receipt) = (item.payload().clone(), Some(item.receipt().clone()));
        Ok(Response::new(ApplyGrantResponse { payload, receipt, state: state as i32 }))
    }

    async fn decide_grant(
        &self,
        request: Request<DecideGrantRequest>,
    ) -> Result<Response<DecideGrantResponse>, Status> {
        let called = Called::of(request)?;
        let m = &called.message;
        let body = m.encode_to_vec();
        let ordered = ordered(
            self.exchange.suite(),
            Kind::GrantChange,
            &m.request_id,
            Repeatable::Required,
            m.purpose.as_ref(),
            None,
            &[&body],
        );
        let order = Order::DecideGrant(m);
        let item = change(&self.exchange, &called, Operation::DecideGrant, order, ordered, &m.request_id).await?;
        Ok(Response::new(DecideGrantResponse {
            payload: item.payload().clone(),
            receipt: Some(item.receipt().clone()),
        }))
    }

    async fn withdraw_grant(
        &self,
        request: Request<WithdrawGrantRequest>,
    ) -> Result<Response<WithdrawGrantResponse>, Status> {
        let called = Called::of(request)?;
        let m = &called.message;
        let body = m.encode_to_vec();
        let ordered = ordered(
            self.exchange.suite(),
            Kind::GrantChange,
            &m.request_id,
            Repeatable::Required,
            m.purpose.as_ref(),
            None,
            &[&body],
        );
        let order = Order::WithdrawGrant(m);
        let item = change(&self.exchange, &called, Operation::WithdrawGrant, order, ordered, &m.request_id).await?;
        Ok(Response::new(WithdrawGrantResponse {
            payload: item.payload().clone(),
            receipt: Some(item.receipt().clone()),
        }))
    }

    async fn list_grants(&self, request: Request<ListGrantsRequest>) -> Result<Response<ListGrantsResponse>, Status> {
        let called = Called::of(request)?;
        let listing = format!("grants {} {}", called.message.system, called.message.resource);
        let tokens = PageTokens::new(&self.exchange, &called.caller, &listing);
        self.grants(&called, &tokens).await.map(Response::new).map_err(|failure| called.failed(&failure))
    }
}
