-- Much of the language and its library; every line of output is the same in every correct Lua 5.4.
local function show(...) io.write(table.concat({...}, " "), "\n") end
local function say(...)
  local words = table.pack(...)
  for i = 1, words.n do words[i] = tostring(words[i]) end
  show(table.unpack(words, 1, words.n))
end

-- numbers: integer and float arithmetic, bitwise operators, conversions, comparison
for _, a in ipairs {7, -7, 7.5, -0.0, 1 << 62, math.maxinteger, math.mininteger} do
  for _, b in ipairs {3, -3, 2.5} do
    say(a + b, a - b, a * b, a / b, a // b, a % b, a < b, a <= b, a == b)
  end
end
say(0xff & 0x0f, 5 | 8, 5 ~ 1, ~0, 1 << 10, -1 >> 60, "10" + 5, "0x10" * 2, 2 ^ 10, 10 // 0.0, -10 % math.huge)
say(math.type(1), math.type(1.0), math.type("1"), math.tointeger(3.0), 3 | 0, pcall(function() return 1.5 | 0 end))
say(1e15, 1e100, 123456.789e3, 0.1, -1e-7, 2^53, math.pi, 100 // 1e-3, string.format("%.17g", 0.1))
say(pcall(function() return 1 // 0 end)) say(pcall(function() return 1 % 0 end))
say(math.floor(-3.5), math.ceil(-3.5), math.abs(-4), math.max(3, 9, 2), math.min(3, 1.5), math.fmod(-7, 3), math.ult(1, -1))
say(tonumber("0x1p4"), tonumber("  12  "), tonumber("z", 36), tonumber("8", 8), tonumber("1e"), 9007199254740993 + 0.0)

-- strings and patterns
local text = "The quick brown fox jumps over the lazy dog"
for word in text:gmatch("%a+") do io.write(word:upper():sub(1, 3), word:rep(2, "-"):len(), " ") end io.write("\n")
say(text:find("(%a+) (%a+)$"), text:match("^(%S+)%s"), text:gsub("%w+", function(w) return w:reverse() end))
say(text:gsub("o", {o = "0"}), ("x"):rep(0), #text, text:byte(1, 3), ("%5d|%-5s|%05.1f|%x|%q"):format(42, "ab", 3.14159, 255, "a\nb"))
say(("abc"):sub(-2), ("%bxy"):len(), ("f(a(b)c)d"):match("%b()"), ("THE (quick) fox"):find("%((%a+)%)"), ("a,b,,c"):gsub(",", ";"))
say(string.pack("<i4", 100):byte(1, -1)) say(string.unpack("<i4", string.pack("<i4", -2)))
say(utf8.char(228, 8364, 128512), utf8.len("äö€"), utf8.codepoint("€"), #utf8.charpattern)
for position, code in utf8.codes("aä€") do io.write(position, ":", code, " ") end io.write("\n")
say("a" .. 1 .. 2.0 .. "b", "10" < "9", "a" < "b", ("x"):rep(3, "ab"), tostring(nil), tostring(true))

-- tables: array and hash part, border, sort, move, metamethods
local t = {}
for i = 1, 2000 do t[i] = (i * 7919) % 2003 end
table.sort(t) say(t[1], t[1000], t[2000], #t)
table.sort(t, function(a, b) return a > b end) say(t[1], t[2000])
for i = 1, 500 do table.remove(t, 1 + (i % 7)) end say(#t, t[1], t[77])
for i = 1, 500 do table.insert(t, i, i) end say(#t, t[500], t[501])
say(table.concat({1, 2, 3}, ","), table.unpack({1, 2, nil, 4}, 1, 4)) say(select("#", nil, nil), select(-1, 1, 2, 3))
say(#table.move({1, 2, 3}, 1, 3, 3), next({}), rawlen({1, 2}), rawequal(t, t), rawget(setmetatable({}, {__index = print}), 1))
local keys = {} for k, v in pairs {a = 1, b = 2, [1] = 3, [2.0] = 4, [true] = 5} do keys[#keys + 1] = tostring(k) .. v end
table.sort(keys) say(table.unpack(keys))
local Vector = {} Vector.__index = Vector
local function vector(x, y) return setmetatable({x = x, y = y}, Vector) end
Vector.__add = function(a, b) return vector(a.x + b.x, a.y + b.y) end
Vector.__mul = function(a, b) return type(a) == "number" and vector(a * b.x, a * b.y) or a.x * b.x + a.y * b.y end
Vector.__eq = function(a, b) return a.x == b.x and a.y == b.y end
Vector.__lt = function(a, b) return a.x < b.x end
Vector.__le = function(a, b) return a.x <= b.x end
Vector.__len = function(a) return 2 end
Vector.__call = function(self, what) return self[what] end
Vector.__concat = function(a, b) return tostring(a) .. "|" .. tostring(b) end
Vector.__tostring = function(a) return "(" .. a.x .. "," .. a.y .. ")" end
Vector.__unm = function(a) return vector(-a.x, -a.y) end
Vector.__idiv = function() return "idiv" end
Vector.__band = function() return "band" end
local a, b = vector(1, 2), vector(3, 4)
say(a + b, a * b, 2 * a, a == vector(1, 2), a < b, a <= b, #a, a("y"), a .. b, -a, a // b, a & b)
local log = {}
local proxy = setmetatable({}, {__index = function(_, k) log[#log + 1] = "r" .. k return k end, __newindex = function(_, k, v) log[#log + 1] = "w" .. k end})
proxy.one = proxy.two say(table.concat(log, " "))

-- functions: closures, varargs, tail calls, upvalues, goto, integer and generic for, attributes
local function counter() local n = 0 return function() n = n + 1 return n end end
local c1, c2 = counter(), counter() say(c1(), c1(), c2(), c1())
local function tail(n) if n == 0 then return "bottom" end return tail(n - 1) end say(tail(100000))
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end say(fib(22))
local function varargs(...) local first, second = ... return select("#", ...), first, second, ... end say(varargs(1, nil, 3))
for i = 3, 1, -1 do for j = 1, 3 do if j == 2 then goto continue end io.write(i, j, " ") ::continue:: end end io.write("\n")
for i = 1.0, 2.0, 0.25 do io.write(i, " ") end io.write("\n")
for i = math.maxinteger - 1, math.maxinteger do io.write(i, " ") end io.write("\n")
local order = {}
do
  local x <close> = setmetatable({}, {__close = function() order[#order + 1] = "x" end})
  local y <close> = setmetatable({}, {__close = function() order[#order + 1] = "y" end})
  local z <const> = 5 order[#order + 1] = z
end
say(table.concat(order, " "))
local fns = {} for i = 1, 3 do fns[i] = function() i = i + 10 return i end end say(fns[1](), fns[1](), fns[2]())

-- errors and coroutines
say(select(2, pcall(error, {code = 1})).code) say(pcall(error, "plain", 0)) say(select(2, pcall(function() local x = nil; x.y = 1 end)))
say(xpcall(function() error("deep", 0) end, function(m) return "handled " .. m end))
say(select(2, pcall(function() return {} < {} end)), select(2, pcall(function() return #5 end)), select(2, pcall(string.rep)))
local ok, message = pcall(function() local function f() return f() + 1 end return f() end) say(ok, message:match("stack overflow"))
local co = coroutine.wrap(function(...) local got = {...} for i = 1, 3 do got[#got + 1] = coroutine.yield(i, #got) end return "end", table.unpack(got) end)
say(co("a", "b")) say(co("c")) say(co("d")) say(co("e")) say(pcall(co))
local function generate(n) return coroutine.wrap(function() for i = 1, n do coroutine.yield(i * i) end end) end
local sum = 0 for square in generate(100) do sum = sum + square end say(sum)
local inner = coroutine.create(function() local ok, m = pcall(function() coroutine.yield("in pcall") error("after", 0) end) return ok, m end)
say(coroutine.resume(inner)) say(coroutine.resume(inner)) say(coroutine.status(inner), coroutine.isyieldable(), coroutine.close(inner))
say(select(2, coroutine.resume(coroutine.create(function() table.sort({3, 2, 1}, function() coroutine.yield() end) end))))

-- load, dump, environments, debug, the collector
say(load("return 1 + 1")(), load("syntax error here")) say(load(string.dump(function(x) return x * 2 end))(21))
local env = {print = say} load("y = 5; print('inside', y)", "chunk", "t", env)() say(env.y, y)
say(debug.getinfo(1, "l").currentline > 0, debug.getlocal(function(p, q) end, 2), debug.traceback("trace", 1):match("^trace\nstack traceback:"))
local hooks = 0 debug.sethook(function() hooks = hooks + 1 end, "l") local _ = 1
_ = 2
debug.sethook() say(hooks > 0)
local weak = setmetatable({}, {__mode = "k"}) weak[{}] = 1 collectgarbage() say(next(weak))
local finalized = 0
for _ = 1, 100 do setmetatable({}, {__gc = function() finalized = finalized + 1 end}) end
collectgarbage() collectgarbage() say(finalized)
for _, mode in ipairs {"generational", "incremental"} do
  collectgarbage(mode) local junk = {} for i = 1, 20000 do junk[i % 100 + 1] = {i, tostring(i), function() return i end} end
  collectgarbage("step") say(mode, #junk)
end
say(os.time({year = 2020, month = 1, day = 1, hour = 12}) - os.time({year = 2020, month = 1, day = 1, hour = 11}), os.getenv("NOT SET"), type(os.clock()))
local name = os.tmpname() local file = assert(io.open(name, "w")) file:write("one\n", 2, "\n3.5 tail\n") file:close()
for line in io.lines(name) do io.write("[", line, "]") end io.write("\n")
file = io.open(name) say(file:read("l", "n", "n", "a")) say(file:seek("set", 1), file:read(2), io.type(file)) file:close() os.remove(name) say(io.open(name) == nil)
say(require == package.loaded._G.require, package.config:sub(1, 1), pcall(require, "no.such.module") == false)
