-- For wrk: POST a body under a new name each time. Environment: BODY (with NAME in it), PREFIX.
local thread_number = 0
function setup(thread)
  thread:set("number", thread_number)
  thread_number = thread_number + 1
end
function init()
  body, prefix, count = os.getenv("BODY"), os.getenv("PREFIX"), 0
end
function request()
  count = count + 1
  local named = body:gsub("NAME", prefix .. "-" .. number .. "-" .. count, 1)
  return wrk.format("POST", nil, { ["Content-Type"] = "application/json", ["Authorization"] = os.getenv("TOKEN_HEADER") }, named)
end
