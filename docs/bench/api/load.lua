-- wrk: one request body for each customer, in turn. Arguments: file of bodies, one a line.
local bodies = {}
function init(args)
  for line in io.lines(args[1]) do bodies[#bodies + 1] = line end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end
local i = 0
function request()
  i = i % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[i])
end
function response(status, headers, body)
  if status ~= 200 or body:find('"errors"', 1, true) then print("failed:", status, body:sub(1, 200)) os.exit(1) end
end
