#define TEN(X, t) X(t##0) X(t##1) X(t##2) X(t##3) X(t##4) X(t##5) X(t##6) X(t##7) X(t##8) X(t##9)
#define ALL(X) TEN(X, ) TEN(X, 1) TEN(X, 2) TEN(X, 3)
#define DECLARE(n) int unit_##n(int);
#define CALL(n) sum += unit_##n(1);
ALL(DECLARE)
