"""Small programs in two versions, for quick builds: what a linked file must become, by the output of a fresh build."""

from __future__ import annotations

MAIN = """
#include <stdio.h>
int work(int n);
int main(int argc, char **argv) { for (int i = 0; i < 3; i++) printf("%d\\n", work(argc + i)); return 0; }
"""

C_CASES: dict[str, tuple[str, str]] = {
    "body": (
        "int work(int n) { return n + 1; }",
        "int work(int n) { return n * 7 + 2; }",
    ),
    "new_function_and_string": (
        "int work(int n) { return n; }",
        '#include <stdio.h>\nstatic int helper(int n) { printf("helper %d\\n", n); return n * 2; }\n'
        "int exported_helper(int n) { return helper(n) + 1; }\nint work(int n) { return exported_helper(n); }",
    ),
    "new_statics": (
        '#include <stdio.h>\nint work(int n) { printf("w\\n"); return n; }',
        "#include <stdio.h>\nstatic int one = 5, zero; static char big[100000]; static const char *name = \"relive\";\n"
        "int work(int n) { static int calls = 40; big[n] = 1; zero += one++; calls++;\n"
        ' printf("%s %d %d %d\\n", name, zero, calls, big[n] + big[n + 1]); return n; }',
    ),
    "new_global": (
        "int work(int n) { return n; }",
        "int fresh = 17; int zeroed[10]; int *pointer = &fresh;\n"
        "int work(int n) { zeroed[n] += *pointer; fresh++; return zeroed[n] + fresh; }",
    ),
    "initialiser_changed": (
        "static int a = 5; int b = 6; static int z; int work(int n) { return a++ + b++ + z++ + n; }",
        "static int a = 50; int b = 0; static int z = 900; int work(int n) { return a++ + b++ + z++ + n; }",
    ),
    "initialiser_only": (
        "static int a = 5; int work(int n) { return a + n; }",
        "static int a = 7; int work(int n) { return a + n; }",
    ),
    "variable_resized": (
        "static int t[4] = {1, 2, 3, 4}; int other(int n) { return t[n & 3]; } int work(int n) { return other(n); }",
        "static int t[8] = {9, 8, 7, 6, 5, 4, 3, 2}; int other(int n) { return t[n & 3]; }\n"
        "int work(int n) { return other(n) + t[7]; }",
    ),
    "constant_table": (
        "static const int t[4] = {1, 2, 3, 4}; int work(int n) { return t[n & 3]; }",
        "static const int t[4] = {10, 20, 30, 40}; int work(int n) { return t[n & 3]; }",
    ),
    "pointer_table": (
        '#include <stdio.h>\nstatic int one(void) { return 1; } static int two(void) { return 2; }\n'
        'static int (*const t[])(void) = {one, two, one}; const char *names[] = {"a", "b"};\n'
        'int work(int n) { printf("%s\\n", names[n & 1]); return t[n % 3]() + two(); }',
        '#include <stdio.h>\nstatic int one(void) { return 1; } static int two(void) { return 2; }\n'
        "static int three(void) { return 3; }\n"
        'static int (*const t[])(void) = {three, one, two}; const char *names[] = {"x", "y"};\n'
        'int work(int n) { printf("%s\\n", names[n & 1]); return t[n % 3]() + two(); }',
    ),
    "pointer_becomes_null": (
        "static int x = 4; int *p = &x; int *q; int work(int n) { return (p ? *p : -1) + (q ? *q : -10) + n; }",
        "static int x = 4; int *p; int *q = &x; int work(int n) { return (p ? *p : -1) + (q ? *q : -10) + n; }",
    ),
    "address_of_function": (
        '#include <stdio.h>\nint work(int n) { int (*f)(int) = work; printf("%d\\n", f == work); return n; }',
        "#include <stdio.h>\nstatic int (*keep)(int) = work; int work(int n);\n".replace(" = work;", ";")
        + "static int (*table[])(const char *) = {puts};\n"
        'int work(int n) { keep = work; int (*f)(const char *) = puts; printf("%d %d\\n", keep == work, f == table[0]);'
        " f(\"through a pointer\"); return n + 1; }",
    ),
    "library_data": (
        '#include <stdio.h>\nint work(int n) { fprintf(stdout, "x\\n"); return n; }',
        '#include <stdio.h>\nint work(int n) { fprintf(stdout, "y %d\\n", n); fflush(stdout); return n; }'.replace(
            " fflush(stdout);", ""
        ),
    ),
    "thread_local": (
        "static __thread int t = 3; __thread int g; int work(int n) { return t++ + g++ + n; }",
        "static __thread int t = 30; __thread int g; static int more(int n) { return g += n; }\n"
        "int work(int n) { return t++ + g++ + more(n) * 1000; }",
    ),
    "switch_table": (
        "int work(int n) { return n; }",
        "int work(int n) { switch (n) { case 0: return 4; case 1: return 81; case 2: return 99; case 3: return 12;\n"
        "case 4: return 5; case 5: return 6; case 6: return 71; default: return -1; } }",
    ),
    "common_and_weak": (
        "int work(int n) { return n; }",
        "int shared_one; __attribute__((weak)) int nowhere(int); __attribute__((weak)) extern int no_data;\n"
        "int work(int n) { shared_one += n; return shared_one + (nowhere ? nowhere(1) : 7) + (&no_data ? 1 : 2); }",
    ),
    "unused_global_removed": (
        "int nobody(int n) { return n; } int work(int n) { return n + 1; }",
        "int work(int n) { return n + 2; }",
    ),
}  # fmt: skip

CXX_MAIN = """
#include <cstdio>
int work(int n);
int main(int argc, char **) { for (int i = 0; i < 3; i++) {
  try { std::printf("%d\\n", work(argc + i)); } catch (int e) { std::printf("caught %d\\n", e); } } return 0; }
"""

CXX_CASES: dict[str, tuple[str, str]] = {
    "throw_through": (
        "int thrower(int n) { if (n == 2) throw n; return n; }\n"
        "int work(int n) { try { return thrower(n); } catch (int e) { return 100 + e; } }",
        "#include <cstdio>\nstruct Guard { ~Guard() { std::puts(\"unwound\"); } };\n"
        "int thrower(int n) { Guard g; if (n != 2) throw n * 11; return n; }\n"
        "int work(int n) { Guard g; try { return thrower(n); }\n"
        " catch (int e) { if (e == 33) throw 5; return 200 + e; } }",
    ),
    "constructor_changed": (
        '#include <string>\nstatic std::string s = "one"; int work(int n) { return int(s.size()) + n; }',
        '#include <string>\nstatic std::string s = "fourteen"; static std::string more = s + "!";\n'
        "int work(int n) { return int(s.size()) + n + int(more.size()) * 100; }",
    ),
    "virtual_added": (
        "struct A { virtual ~A() {} virtual int f(int n) { return n; } };\n"
        "struct B : A { int f(int n) override { return n + 1; } };\n"
        "int work(int n) { A *a = n & 1 ? new A : new B; int r = a->f(n); delete a; return r; }",
        "struct A { virtual ~A() {} virtual int f(int n) { return n; } virtual int g(int n) { return -n; } };\n"
        "struct B : A { int f(int n) override { return n + 1; } int g(int n) override { return n * 50; } };\n"
        "int work(int n) { A *a = n & 1 ? new A : new B; int r = a->f(n) + a->g(n); delete a; return r; }",
    ),
    "member_added": (
        "struct P { int a = 1; int sum() { return a; } }; static P p; int work(int n) { return p.sum() + n; }",
        "struct P { int a = 1; int b[9] = {5}; int sum() { return a + b[0]; } }; static P p;\n"
        "int work(int n) { return p.sum() + n; }",
    ),
    "static_local": (
        "#include <string>\nint work(int n) { static std::string s(3, 'x'); s += 'y'; return int(s.size()) + n; }",
        "#include <string>\nint work(int n) { static std::string t(5, 'q'); static std::string s(7, 'x'); s += t;\n"
        " return int(s.size()) + n; }",
    ),
    "lambda_inserted": (
        "#include <functional>\nint work(int n) { std::function<int(int)> f = [](int x) { return x + 1; };\n"
        " return f(n); }",
        "#include <functional>\nint work(int n) { std::function<int(int)> e = [](int x) { return x * 10; };\n"
        " std::function<int(int)> f = [](int x) { return x + 1; }; return f(n) + e(n); }",
    ),
    "dynamic_cast": (
        "struct A { virtual ~A() {} }; struct B : A { int v = 5; };\n"
        "int work(int n) { A *a = n & 1 ? new A : new B; int r = dynamic_cast<B *>(a) ? 1 : 0; delete a; return r; }",
        "#include <typeinfo>\n#include <cstring>\nstruct A { virtual ~A() {} }; struct B : A { int v = 5; };\n"
        "int work(int n) { A *a = n & 1 ? new A : new B; B *b = dynamic_cast<B *>(a); int r = b ? b->v : -1;\n"
        " r += 10 * int(typeid(*a) == typeid(B)); delete a; return r; }",
    ),
}  # fmt: skip
