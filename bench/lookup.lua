#!/usr/bin/env sysbench
-- The feature lookup for sysbench: one row of a wide feature table by its primary key, as an online
-- store does for each entity. One event is one query. The table is made and filled by the bench program.

sysbench.cmdline.options = {
  mode = {"text: literals in the statement; prepared: one server-side statement per connection", "text"},
  users = {"Users per tenant in the table", 25000},
}

local tenants = {"acme", "globex", "initech", "umbrella"}

local columns = "clicks_7d, purchases_7d, ctr_7d, avg_basket, segment, embedding, updated_at"

local con, statement, tenant, user

function thread_init()
  con = sysbench.sql.driver():connect()
  if sysbench.opt.mode == "prepared" then
    statement = con:prepare("SELECT " .. columns .. " FROM user_features WHERE tenant_id = ? AND user_id = ?")
    tenant = statement:bind_create(sysbench.sql.type.VARCHAR, 32)
    user = statement:bind_create(sysbench.sql.type.BIGINT)
    statement:bind_param(tenant, user)
  end
end

function thread_done()
  if statement then statement:close() end
  con:disconnect()
end

local function lookup_text(t, u)
  con:query(string.format("SELECT %s FROM user_features WHERE tenant_id = '%s' AND user_id = %d", columns, t, u))
end

local function lookup_prepared(t, u)
  tenant:set(t)
  user:set(u)
  statement:execute()
end

function event()
  local t = tenants[sysbench.rand.uniform(1, #tenants)]
  local u = sysbench.rand.uniform(1, sysbench.opt.users)
  if statement then lookup_prepared(t, u) else lookup_text(t, u) end
end
